ARG BASE
FROM $BASE
FROM $BASE
COPY --from=0 /var/plain /n
