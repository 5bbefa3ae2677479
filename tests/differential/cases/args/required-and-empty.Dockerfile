ARG BASE
FROM $BASE
ENV E=
ENV B="${E:?must be set}"
