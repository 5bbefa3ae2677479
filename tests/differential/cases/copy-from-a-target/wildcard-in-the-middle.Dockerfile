ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 /lib*/so /n/
