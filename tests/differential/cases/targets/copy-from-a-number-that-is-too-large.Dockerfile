ARG BASE
FROM $BASE
COPY --from=3 /o /n
