ARG BASE
FROM $BASE
ADD a.tar.gz /n
