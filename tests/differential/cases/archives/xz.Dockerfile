ARG BASE
FROM $BASE
ADD a.tar.xz /n
