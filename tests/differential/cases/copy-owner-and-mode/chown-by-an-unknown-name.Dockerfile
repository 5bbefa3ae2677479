ARG BASE
FROM $BASE
COPY --chown=stranger a.txt /x/
