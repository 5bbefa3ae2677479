ARG BASE
FROM $BASE
COPY --exclude=bad --exclude=out . /n/
