ARG BASE
FROM $BASE
RUN --mount=target=/m,rw touch /m/x && ls /m >/l
