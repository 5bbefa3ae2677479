ARG BASE
FROM $BASE
COPY --parents ld/./deep/three.txt /n/
