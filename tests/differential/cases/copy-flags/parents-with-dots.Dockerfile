ARG BASE
FROM $BASE
COPY --parents ./lib/../src/one.txt /n/
