ARG BASE
FROM $BASE
COPY --parents --chown=7:8 --chmod=711 lib/x/y/z.txt /n/
