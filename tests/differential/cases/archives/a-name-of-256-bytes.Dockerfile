ARG BASE
FROM $BASE
ADD too-long.tar /x/
