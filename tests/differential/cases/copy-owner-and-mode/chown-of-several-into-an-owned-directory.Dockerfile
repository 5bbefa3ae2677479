ARG BASE
FROM $BASE
COPY --chown=app a.txt b.txt /data/sub/
