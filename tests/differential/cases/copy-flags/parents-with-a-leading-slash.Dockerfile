ARG BASE
FROM $BASE
COPY --parents /lib/x/w.txt /n/
