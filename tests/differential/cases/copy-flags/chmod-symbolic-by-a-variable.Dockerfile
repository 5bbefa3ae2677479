ARG BASE
FROM $BASE
ARG M=go-r
COPY --chmod=$M a.txt /n/
