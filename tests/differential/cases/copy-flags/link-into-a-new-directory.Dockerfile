ARG BASE
FROM $BASE
COPY --link src /n/m/
