ARG BASE
FROM $BASE
COPY --chmod=4755 run.sh /x/
