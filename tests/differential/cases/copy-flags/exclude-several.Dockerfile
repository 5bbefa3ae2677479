ARG BASE
FROM $BASE
COPY --exclude=deep --exclude=link src /n/
