ARG BASE
FROM $BASE
RUN --security=sandbox true
