ARG BASE
FROM $BASE AS other
FROM $BASE
RUN --mount=from=other,source=/${FROM_BASE:+data},target=/m ls /m >/seen
