ARG BASE
FROM $BASE
LABEL a=1 "b c"="d \"e\"" from.base=no
