ARG BASE
FROM $BASE
RUN --mount=target=/in,ro=false touch /in/new && echo yes >/seen
