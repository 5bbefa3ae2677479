ARG BASE
FROM $BASE
COPY --exclude=a.txt a.txt b.md /n/
