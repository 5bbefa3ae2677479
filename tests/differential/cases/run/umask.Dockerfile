ARG BASE
FROM $BASE
RUN umask >/u; touch /f; mkdir /d
