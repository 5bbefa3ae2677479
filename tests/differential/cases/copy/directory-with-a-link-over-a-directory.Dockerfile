ARG BASE
FROM $BASE
COPY over-dir-by-link /
