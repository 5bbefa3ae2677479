ARG BASE
FROM $BASE
ENV A=a
ENV R=${N:-${A}b} S=${N:-"$A c"}
