ARG BASE
FROM $BASE
ADD chain.tar /n
