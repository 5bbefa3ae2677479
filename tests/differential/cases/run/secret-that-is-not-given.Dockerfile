ARG BASE
FROM $BASE
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent && echo none >/n
