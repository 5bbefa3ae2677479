ARG BASE
FROM $BASE
COPY <<one.txt <<two.txt /x/
1
one.txt
2
two.txt
