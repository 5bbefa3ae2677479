ARG BASE
FROM $BASE
COPY --chmod=0755 a.txt /x
