ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 --chown=app /capable /n/
