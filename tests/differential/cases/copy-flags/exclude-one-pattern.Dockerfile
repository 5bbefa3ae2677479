ARG BASE
FROM $BASE
COPY --exclude=*.md src /n/
