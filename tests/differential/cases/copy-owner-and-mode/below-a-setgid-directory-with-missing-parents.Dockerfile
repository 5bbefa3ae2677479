ARG BASE
FROM $BASE
COPY d /var/www/n/m
