ARG BASE
FROM scratch AS none
FROM $BASE
RUN --mount=from=none,target=/m ls -A /m >/seen
