ARG BASE
FROM $BASE
USER app
WORKDIR /w
RUN id >id; pwd >pwd; env | grep -v -e HOSTNAME -e OTEL -e TRACE | sort >env
