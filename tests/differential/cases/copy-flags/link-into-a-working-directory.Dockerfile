ARG BASE
FROM $BASE
WORKDIR /srv/w
USER app
WORKDIR deep
COPY --link a.txt ./
