ARG BASE
FROM $BASE
RUN --mount=type=tmpfs,target=/t,ro touch /t/x 2>/dev/null || echo no >/seen
