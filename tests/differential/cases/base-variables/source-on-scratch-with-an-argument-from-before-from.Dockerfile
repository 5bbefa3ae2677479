ARG DIR=conf
FROM scratch
COPY ${DIR}/app.ini /etc/
