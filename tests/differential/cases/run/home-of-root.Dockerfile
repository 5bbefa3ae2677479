ARG BASE
FROM $BASE
RUN echo $HOME >/home.txt; env | grep -v -e HOSTNAME -e OTEL -e TRACE | sort >/env
