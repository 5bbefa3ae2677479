ARG BASE
FROM $BASE
ARG A=1
ARG NONE
RUN env | grep -v -e HOSTNAME -e OTEL -e TRACE | sort >/env
