ARG BASE
FROM $BASE
COPY --parents lib/./*/*.txt /n/
