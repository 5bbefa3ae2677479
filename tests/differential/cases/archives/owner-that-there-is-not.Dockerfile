ARG BASE
FROM $BASE
ADD wrong-owner.tar /n/
