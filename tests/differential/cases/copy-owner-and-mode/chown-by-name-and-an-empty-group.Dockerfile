ARG BASE
FROM $BASE
COPY --chown=app: a.txt /x/
