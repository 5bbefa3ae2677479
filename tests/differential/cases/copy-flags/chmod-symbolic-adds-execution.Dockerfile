ARG BASE
FROM $BASE
COPY --chmod=+x a.txt /n/
