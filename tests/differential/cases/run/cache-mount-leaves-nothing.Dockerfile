ARG BASE
FROM $BASE
RUN --mount=type=cache,target=/root/c touch /root/c/x /root/y
