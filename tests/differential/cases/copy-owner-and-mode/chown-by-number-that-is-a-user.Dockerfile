ARG BASE
FROM $BASE
COPY --chown=1000 a.txt /x/
