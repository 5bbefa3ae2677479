ARG BASE
FROM $BASE
COPY --chown=: a.txt /var/www/n/
