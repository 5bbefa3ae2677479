ARG BASE
FROM $BASE
COPY d/*.gone /x/
