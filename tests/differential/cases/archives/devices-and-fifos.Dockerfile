ARG BASE
FROM $BASE
ADD special.tar /n
