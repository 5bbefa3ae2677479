ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 --exclude=sub /data /n/
