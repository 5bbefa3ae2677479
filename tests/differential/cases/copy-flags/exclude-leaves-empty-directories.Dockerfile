ARG BASE
FROM $BASE
COPY --exclude=md/a.md only /n/
