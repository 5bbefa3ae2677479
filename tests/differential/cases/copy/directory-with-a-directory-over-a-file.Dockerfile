ARG BASE
FROM $BASE
COPY over-file-by-dir /
