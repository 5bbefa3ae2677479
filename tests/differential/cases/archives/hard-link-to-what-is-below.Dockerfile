ARG BASE
FROM $BASE
ADD hard-to-below.tar /
