ARG BASE
FROM $BASE
ADD empty.tar /n
