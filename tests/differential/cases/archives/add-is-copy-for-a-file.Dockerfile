ARG BASE
FROM $BASE
ADD plain.txt /n
