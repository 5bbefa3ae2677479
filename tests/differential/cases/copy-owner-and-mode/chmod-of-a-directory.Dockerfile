ARG BASE
FROM $BASE
COPY --chmod=700 d /fresh
