ARG BASE
FROM $BASE
RUN --mount=type=ssh echo "$SSH_AUTH_SOCK" >/seen; test -e "$SSH_AUTH_SOCK" || echo none >>/seen
