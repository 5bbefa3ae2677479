ARG BASE
FROM $BASE
ENV P=a-b-c
ENV R="${P/-/+}|${P//-/+}|${P/x/y}"
