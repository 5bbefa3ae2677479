ARG BASE
FROM $BASE
ARG M=604
COPY --chmod=$M a.txt /x
