ARG BASE
FROM $BASE
ENV A=1 \
# comment
  # another \
  B=2
