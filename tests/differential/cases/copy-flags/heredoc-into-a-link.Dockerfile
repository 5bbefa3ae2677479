ARG BASE
FROM $BASE
ADD <<x /h/
text
x
