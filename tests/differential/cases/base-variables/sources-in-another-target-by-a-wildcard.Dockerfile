ARG BASE
FROM $BASE AS other
FROM $BASE
COPY --from=other /data/${FROM_BASE:+f}* /x/
