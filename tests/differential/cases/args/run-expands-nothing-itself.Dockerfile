ARG BASE
FROM $BASE
ENV A=a
RUN echo "$A ${A}" '${A}' \$A >/x
