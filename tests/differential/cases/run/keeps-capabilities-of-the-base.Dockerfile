ARG BASE
FROM $BASE
RUN echo x >/x; chmod 700 /var/plain
