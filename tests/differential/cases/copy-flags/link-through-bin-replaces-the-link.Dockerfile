ARG BASE
FROM $BASE
COPY --link a.txt /opt/up/n
