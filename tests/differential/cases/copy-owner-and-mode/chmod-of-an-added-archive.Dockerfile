ARG BASE
FROM $BASE
ADD --chmod=700 a.tar /n
