ARG BASE
FROM $BASE
ENV A=a
ENV R=$A-b S=$A.b T=${A}b U=$Ab V=$A$A
