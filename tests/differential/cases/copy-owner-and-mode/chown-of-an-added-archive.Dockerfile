ARG BASE
FROM $BASE
ADD --chown=app a.tar /n/m
