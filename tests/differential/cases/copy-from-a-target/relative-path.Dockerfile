ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 etc/group /n
