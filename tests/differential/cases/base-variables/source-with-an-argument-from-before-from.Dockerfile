ARG BASE
ARG DIR=conf
FROM $BASE
COPY ${DIR}/app.ini /etc/
