ARG BASE
FROM $BASE
ADD existing.tar /
