ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 --chown=app /data/sub/.. /n
