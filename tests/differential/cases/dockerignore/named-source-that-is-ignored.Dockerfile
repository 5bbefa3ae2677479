ARG BASE
FROM $BASE
COPY secret.txt /x
