ARG BASE
FROM $BASE
ADD absolute.tar /n
