ARG BASE
FROM $BASE
COPY --link a.txt /x
