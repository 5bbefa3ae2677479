ARG BASE
FROM $BASE
COPY --chmod=$NOPE a.txt /x
