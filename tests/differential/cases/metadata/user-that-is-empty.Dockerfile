ARG BASE
FROM $BASE
USER app
USER ""
RUN id -u >/uid
