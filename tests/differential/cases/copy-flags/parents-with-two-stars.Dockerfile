ARG BASE
FROM $BASE
COPY --parents **/*.txt /n/
