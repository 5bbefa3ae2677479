ARG BASE
FROM $BASE
COPY --chmod=rubbish a.txt /x
