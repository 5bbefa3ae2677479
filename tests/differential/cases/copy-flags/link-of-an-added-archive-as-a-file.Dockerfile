ARG BASE
FROM $BASE
ADD --link a.txt /tmp/n/
