ARG BASE
FROM $BASE
COPY d/../a.txt /x
