ARG BASE
FROM $BASE
ADD hard-out.tar /n
