ARG BASE
FROM $BASE
COPY a.txt /var/www/
