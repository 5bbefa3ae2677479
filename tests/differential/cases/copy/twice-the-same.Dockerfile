ARG BASE
FROM $BASE
COPY a.txt /x
COPY a.txt /x
