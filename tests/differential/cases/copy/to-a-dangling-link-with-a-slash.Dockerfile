ARG BASE
FROM $BASE
COPY a.txt /dang/
