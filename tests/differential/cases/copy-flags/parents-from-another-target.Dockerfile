ARG BASE
FROM $BASE
FROM $BASE
COPY --parents --from=0 /data/sub /opt/real /n/
