ARG BASE
FROM $BASE
RUN --nonsense true
