ARG BASE
FROM $BASE
COPY a.txt /root/req
