ARG BASE
FROM $BASE
COPY --link src /data/f
