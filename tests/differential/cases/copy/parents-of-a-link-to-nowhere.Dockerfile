ARG BASE
FROM $BASE
COPY --parents a.txt b* /n/
