ARG BASE
FROM $BASE
COPY --chown=nogroup a.txt /x
