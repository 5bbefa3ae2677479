ARG BASE
FROM $BASE
COPY run.sh /bin/tool
