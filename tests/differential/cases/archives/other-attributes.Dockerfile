ARG BASE
FROM $BASE
ADD attributes.tar /n
