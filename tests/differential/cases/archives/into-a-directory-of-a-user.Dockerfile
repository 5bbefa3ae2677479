ARG BASE
FROM $BASE
ADD dot.tar /home/app
