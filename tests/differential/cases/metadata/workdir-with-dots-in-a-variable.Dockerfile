ARG BASE
FROM $BASE
ENV UP=/q/../r
ARG DEEP=/s/t/../../u
WORKDIR $UP
RUN pwd >/where; ls -d /q /r >>/where 2>&1; true
WORKDIR $DEEP
WORKDIR ${UP}/v/../w
WORKDIR ../x/$UP/../y
RUN pwd >>/where
