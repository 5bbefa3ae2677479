ARG BASE
FROM $BASE
RUN --mount=target=/m touch /m/x 2>/err || true
