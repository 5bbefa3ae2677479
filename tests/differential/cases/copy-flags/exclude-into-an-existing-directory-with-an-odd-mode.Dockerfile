ARG BASE
FROM $BASE
COPY --exclude=x/y lib /opt/
