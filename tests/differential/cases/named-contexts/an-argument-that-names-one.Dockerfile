ARG NAME=tools
FROM $NAME
COPY own.txt /
