ARG BASE
FROM scratch AS none
FROM $BASE
COPY --from=none / /opt/new/
