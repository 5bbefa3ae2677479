ARG BASE
FROM $BASE
ENV B="${N:?must be set}"
