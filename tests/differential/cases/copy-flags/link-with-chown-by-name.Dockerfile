ARG BASE
FROM $BASE
COPY --link --chown=app a.txt /n/
