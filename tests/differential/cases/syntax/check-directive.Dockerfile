# check=skip=all
ARG BASE
FROM $BASE
ENV A=1
