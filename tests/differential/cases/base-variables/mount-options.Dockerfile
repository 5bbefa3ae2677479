ARG BASE
FROM $BASE
RUN --mount=type=cache,id=c-${FROM_BASE%?value}-$NOPE,target=/c,mode=${FROM_BASE:+0700} stat -c %a /c >/seen
