ARG BASE
FROM $BASE
COPY a.txt --chown=1 /x
