ARG BASE
FROM $BASE
COPY a.txt /opt/www/n/
