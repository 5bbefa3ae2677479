ARG BASE
FROM $BASE
ADD a.tar.zst /n
