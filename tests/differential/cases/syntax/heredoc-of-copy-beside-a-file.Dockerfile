ARG BASE
FROM $BASE
COPY a.txt <<b.txt /x/
b
b.txt
