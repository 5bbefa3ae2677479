ARG BASE
FROM $BASE
ARG HTTP
ADD $HTTP/tool.txt a.txt /n/
