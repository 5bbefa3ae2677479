ARG BASE
FROM $BASE
RUN --mount=type=cache,target=/data ls /data >/l
