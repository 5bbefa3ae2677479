ARG BASE
FROM $BASE
RUN --mount=type=cache,id=read-only-1,target=/cache,ro touch /cache/x 2>/dev/null || echo no >/seen
