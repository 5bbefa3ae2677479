ARG BASE
FROM $BASE
COPY --chmod=0 a.txt /x
