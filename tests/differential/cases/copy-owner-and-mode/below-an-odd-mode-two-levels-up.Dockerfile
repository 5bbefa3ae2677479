ARG BASE
FROM $BASE
COPY a.txt /sp/q/r/s/x
