ARG BASE
FROM $BASE
ADD broken.tar.gz /n
