ARG BASE
FROM $BASE
ADD a.tar /data/f
