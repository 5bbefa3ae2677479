ARG BASE
FROM $BASE AS source
RUN mkdir -m 2750 /seed && echo seed >/seed/file && chown -R 5:6 /seed && mkdir /seed/deep
FROM $BASE
RUN --mount=type=cache,id=from-a-target-1,target=/cache,from=source,source=/seed stat -c '%a %u:%g %n' /cache /cache/* >/seen
