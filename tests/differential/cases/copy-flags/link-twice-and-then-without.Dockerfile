ARG BASE
FROM $BASE
COPY --link a.txt /tmp/
COPY --link src /opt/
COPY a.txt /opt/up/
