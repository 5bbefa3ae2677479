ARG BASE
FROM scratch AS none
FROM $BASE
RUN --mount=from=none,source=/a,target=/m true
