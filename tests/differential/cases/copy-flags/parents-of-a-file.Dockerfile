ARG BASE
FROM $BASE
COPY --parents lib/x/y/z.txt /n/
