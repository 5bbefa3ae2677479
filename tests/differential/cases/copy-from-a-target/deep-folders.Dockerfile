# 230 of them; nothing of an engine counts folders, only the bytes of a path.
ARG BASE
FROM $BASE AS src
RUN p=/s; for i in $(seq 230); do p=$p/d$i; done; mkdir -p $p && echo x >$p/f && ln -s f $p/l
FROM $BASE
COPY --from=src /s /t
RUN --mount=from=src,source=/s,target=/m cp -a /m /mounted
