ARG BASE
FROM $BASE
COPY --chown=2000 d /fresh
