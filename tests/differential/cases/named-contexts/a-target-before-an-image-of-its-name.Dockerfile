# A target of another name keeps its own base, and a digest is another name.
ARG BASE
FROM $BASE AS golang
COPY own.txt /is/a/target
FROM golang
COPY own.txt /
