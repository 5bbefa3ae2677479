ARG BASE
FROM $BASE
COPY a.txt /opt/up/k
