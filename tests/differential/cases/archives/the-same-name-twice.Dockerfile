ARG BASE
FROM $BASE
ADD twice.tar /n
