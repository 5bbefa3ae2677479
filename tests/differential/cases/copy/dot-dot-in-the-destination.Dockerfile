ARG BASE
FROM $BASE
COPY a.txt /lnk/../r
