ARG BASE
FROM $BASE
COPY --chmod=640 a.txt /x
