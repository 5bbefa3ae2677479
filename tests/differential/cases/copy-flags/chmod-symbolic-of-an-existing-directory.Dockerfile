ARG BASE
FROM $BASE
COPY --chmod=g+w nested/bin /opt/real/
