ARG BASE
FROM $BASE
COPY --link=yes a.txt /n
