ARG BASE
FROM $BASE
COPY --exclude=** src /n/
