ARG BASE
FROM $BASE
COPY --chown=7:staff a.txt /x/
