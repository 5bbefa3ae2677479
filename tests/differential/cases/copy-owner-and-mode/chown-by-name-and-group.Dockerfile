ARG BASE
FROM $BASE
COPY --chown=app:staff a.txt /x/y/
