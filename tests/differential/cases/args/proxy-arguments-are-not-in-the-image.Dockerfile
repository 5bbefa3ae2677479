ARG BASE
FROM $BASE
RUN env | grep -ci proxy >/count || true
