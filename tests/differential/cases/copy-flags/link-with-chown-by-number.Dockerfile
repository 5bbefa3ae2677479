ARG BASE
FROM $BASE
COPY --link --chown=7:8 src /n
