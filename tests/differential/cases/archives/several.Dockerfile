ARG BASE
FROM $BASE
ADD a.tar dot.tar plain.txt /n/
