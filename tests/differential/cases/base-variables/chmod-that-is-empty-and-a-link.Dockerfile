ARG BASE
FROM $BASE
COPY --link --chmod=$NOPE a.txt /opt/www/x
