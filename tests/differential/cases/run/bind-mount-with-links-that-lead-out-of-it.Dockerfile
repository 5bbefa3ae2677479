ARG BASE
FROM $BASE AS src
RUN mkdir -p /s/d && ln -s ../../data/f /s/d/l && ln -s ../.. /s/up && ln -s /data/f /s/absolute && ln -s l /s/d/m && echo x >/s/f && ln /s/f /s/d/f
FROM $BASE
RUN --mount=from=src,source=/s,target=/m cp -a /m /mounted && cat /m/f >/read
RUN --mount=type=cache,target=/m,from=src,source=/s cp -a /m /cached
