ARG BASE
FROM $BASE
RUN --mount=from=assets,target=/m cp -r /m /copied
RUN --mount=type=bind,from=assets,source=deep/x.js,target=/one.js cat /one.js >/one
RUN --mount=type=cache,from=assets,source=deep,target=/cache cat /cache/x.css >/two
