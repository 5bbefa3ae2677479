ARG BASE
FROM $BASE
ADD --exclude=bin a.tar.gz /n/
