ARG BASE
FROM $BASE
COPY over-link-by-dir /
