ARG BASE
FROM $BASE
COPY --chown=:staff a.txt /x/
