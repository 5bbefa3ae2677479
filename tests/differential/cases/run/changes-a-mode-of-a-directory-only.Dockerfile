ARG BASE
FROM $BASE
RUN chmod 711 /var/plain
