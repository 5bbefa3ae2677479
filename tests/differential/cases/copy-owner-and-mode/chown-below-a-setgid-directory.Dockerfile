ARG BASE
FROM $BASE
COPY --chown=7:8 d /var/www/n/
