ARG BASE
FROM $BASE
COPY --parents lib/*.none /n/
