ARG BASE
FROM $BASE
ADD bytes.tar /n
