ARG BASE
FROM $BASE
COPY --chown=app:stranger a.txt /x/
