ARG BASE
FROM $BASE
WORKDIR /var/www/one/two
RUN touch file
