ARG BASE
FROM $BASE
RUN --mount=type=bind,target=/m cp -r /m/d /copied; ls -la /m | wc -l >/n
