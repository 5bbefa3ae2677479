ARG BASE
FROM $BASE
COPY --parents ld/one* /n/
