ARG BASE
FROM $BASE
RUN --security=insecure true
