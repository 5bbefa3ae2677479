ARG BASE
FROM $BASE
COPY --link nested /lnk
