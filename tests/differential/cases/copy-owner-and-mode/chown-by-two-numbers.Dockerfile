ARG BASE
FROM $BASE
COPY --chown=7:8 a.txt /x/y
