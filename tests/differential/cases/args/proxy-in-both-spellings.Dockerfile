ARG BASE
FROM $BASE
RUN echo "$http_proxy $HTTP_PROXY" >/proxy
