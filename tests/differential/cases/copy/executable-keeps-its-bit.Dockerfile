ARG BASE
FROM $BASE
COPY run.sh /usr/local/bin/
