ARG BASE
FROM $BASE
RUN --mount=type=tmpfs,target=/t touch /t/x; ls /t >/l
