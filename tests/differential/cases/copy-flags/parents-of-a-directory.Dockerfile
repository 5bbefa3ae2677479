ARG BASE
FROM $BASE
COPY --parents src /n
