ARG BASE
FROM $BASE
COPY --parents src /tmp
