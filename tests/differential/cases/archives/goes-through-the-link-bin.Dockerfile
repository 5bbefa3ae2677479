ARG BASE
FROM $BASE
ADD through-bin.tar /
