ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 --chmod=o-rwx,g+w /data /n/
