ARG BASE
FROM $BASE
ADD directory-over-file.tar /
