ARG BASE
FROM $BASE
RUN --mount=type=secret,id=s,env=S printf %s "$S" | wc -c >/n
