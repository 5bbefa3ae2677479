ARG BASE
FROM $BASE AS First
COPY a.txt /a
FROM $BASE
COPY a.txt /b
