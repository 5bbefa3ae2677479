ARG BASE
FROM $BASE
ENV A=a
ENV B="${A:?must be set}"
