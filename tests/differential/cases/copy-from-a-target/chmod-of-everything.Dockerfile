ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 --chmod=4711 / /n/
