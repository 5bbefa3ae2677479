ARG BASE
FROM $BASE
ADD empty-file.tar /n/
