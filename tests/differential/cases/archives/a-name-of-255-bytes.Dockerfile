ARG BASE
FROM $BASE
ADD longest.tar /x/
