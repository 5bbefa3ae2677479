ARG BASE
FROM $BASE
COPY --parents lib/nothing /n/
