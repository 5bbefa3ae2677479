ARG BASE
FROM $BASE
ADD file-over-directory.tar /
