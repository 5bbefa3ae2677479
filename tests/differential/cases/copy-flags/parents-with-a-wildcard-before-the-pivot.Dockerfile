ARG BASE
FROM $BASE
COPY --parents */./one.txt /n/
