ARG BASE
FROM $BASE
COPY --chown a.txt /x
