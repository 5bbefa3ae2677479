ARG BASE
FROM $BASE
COPY --chown=1 --chown=2 a.txt /x
