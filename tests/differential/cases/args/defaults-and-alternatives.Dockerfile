ARG BASE
FROM $BASE
ENV A=a E=
ENV R="${A:-x}|${N:-x}|${E:-x}|${E-x}|${A:+x}|${N:+x}|${E:+x}|${E+x}|${N-}|"
