ARG BASE
FROM $BASE
COPY star\*.txt /x/
