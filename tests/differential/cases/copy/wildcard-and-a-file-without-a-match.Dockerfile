ARG BASE
FROM $BASE
COPY no* a.txt /x/
