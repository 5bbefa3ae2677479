ARG BASE
FROM $BASE
COPY --nonsense a.txt /x
