ARG BASE
FROM $BASE
COPY --exclude=*.md * /n/
