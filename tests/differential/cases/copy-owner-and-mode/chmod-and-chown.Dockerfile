ARG BASE
FROM $BASE
COPY --chmod=711 --chown=app:staff d /x/y/z
