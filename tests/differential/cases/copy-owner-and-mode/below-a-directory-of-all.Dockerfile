ARG BASE
FROM $BASE
COPY a.txt /tmp/n/
