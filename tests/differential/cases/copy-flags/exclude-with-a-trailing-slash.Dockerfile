ARG BASE
FROM $BASE
COPY --exclude=deep/ src /n/
