ARG BASE
FROM $BASE
COPY [a-b].tx? /x/
