ARG BASE
FROM $BASE
ADD a.tar /var/www/n/
