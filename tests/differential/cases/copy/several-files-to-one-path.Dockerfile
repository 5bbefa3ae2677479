ARG BASE
FROM $BASE
COPY a.txt b.txt /new
