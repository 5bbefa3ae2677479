ARG BASE
FROM $BASE
USER app:staff
RUN id >/tmp/id
