ARG BASE
FROM $BASE
FROM $BASE
COPY --link --from=0 /data /n/
