# escape=`
ARG BASE
FROM $BASE
ENV A=a`$b B=`"x`"
LABEL l=1 `
  m=2
