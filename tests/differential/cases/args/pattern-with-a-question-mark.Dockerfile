ARG BASE
FROM $BASE
ENV P=abcabc
ENV R="${P#?}|${P%?}|${P#a*b}|${P##a*b}"
