ARG BASE
FROM $BASE
ADD link-over-directory.tar /
