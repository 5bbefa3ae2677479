ARG BASE
FROM $BASE
USER app
RUN id -G >/tmp/groups
