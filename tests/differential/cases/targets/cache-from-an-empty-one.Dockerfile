ARG BASE
FROM scratch AS none
FROM $BASE
RUN --mount=type=cache,from=none,target=/m,id=of-an-empty-one ls -A /m >/seen
