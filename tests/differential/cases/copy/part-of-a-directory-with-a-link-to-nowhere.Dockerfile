ARG BASE
FROM $BASE
COPY --exclude=rel links /n/
COPY --parents links/dead links/./dead /p/
