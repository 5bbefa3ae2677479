ARG BASE
FROM $BASE
ADD whiteout.tar /
