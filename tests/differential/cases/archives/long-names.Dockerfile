ARG BASE
FROM $BASE
ADD long.tar /n
