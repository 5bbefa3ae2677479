ARG BASE
FROM $BASE
WORKDIR /a/../b//c/
RUN pwd >/pwd
