ARG BASE
FROM $BASE
COPY --chown=app d /data
