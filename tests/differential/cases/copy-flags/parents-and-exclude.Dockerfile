ARG BASE
FROM $BASE
COPY --parents --exclude=**/*.md src /n/
