ARG BASE
FROM $BASE
USER app
WORKDIR /var/www/one/two
USER root
RUN touch file
