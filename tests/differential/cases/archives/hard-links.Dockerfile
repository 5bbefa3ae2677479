ARG BASE
FROM $BASE
ADD hard.tar /n
