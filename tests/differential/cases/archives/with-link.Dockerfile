ARG BASE
FROM $BASE
ADD --link a.tar.gz /tmp/
