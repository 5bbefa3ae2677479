ARG BASE
FROM $BASE
ADD capable.tar /n
