ARG BASE
FROM $BASE
ADD dot.tar /data
