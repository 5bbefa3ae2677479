ARG BASE
FROM $BASE
RUN --mount=target=/m find /m | sort >/l
