ARG BASE
FROM $BASE AS assets
RUN exit 1
FROM assets
COPY own.txt /
