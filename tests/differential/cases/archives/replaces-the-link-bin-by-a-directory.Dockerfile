ARG BASE
FROM $BASE
ADD directory-bin.tar /
