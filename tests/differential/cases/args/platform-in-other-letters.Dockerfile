ARG BASE
FROM --platform=linux/x86_64 $BASE
ENV A=1
