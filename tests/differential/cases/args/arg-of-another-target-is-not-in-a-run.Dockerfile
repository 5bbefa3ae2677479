ARG BASE
FROM $BASE AS a
ARG A=1
FROM a
RUN env | grep -v -e HOSTNAME -e OTEL -e TRACE | sort >/env
