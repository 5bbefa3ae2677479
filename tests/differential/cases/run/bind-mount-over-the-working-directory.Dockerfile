ARG BASE
FROM $BASE
WORKDIR /work
RUN --mount=source=. ls >/seen
