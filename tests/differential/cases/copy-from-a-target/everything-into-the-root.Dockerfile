ARG BASE
FROM $BASE
FROM scratch
COPY --from=0 / /
