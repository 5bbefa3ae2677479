ARG BASE
FROM $BASE
ENV A=a
ENV R='$A' S="'$A'" T='"$A"'
