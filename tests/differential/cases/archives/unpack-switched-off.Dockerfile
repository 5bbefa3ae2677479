ARG BASE
FROM $BASE
ADD --unpack=false a.tar.gz /n/
