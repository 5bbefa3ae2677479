ARG BASE
FROM $BASE
COPY --link=false a.txt /tmp/
