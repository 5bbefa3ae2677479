ARG BASE
FROM $BASE
COPY --chmod=2700 d /var/www/n
