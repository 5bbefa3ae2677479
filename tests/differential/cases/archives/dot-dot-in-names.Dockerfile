ARG BASE
FROM $BASE
ADD up.tar /n/m
