# What stood in its place hides what the first one had.
ARG BASE
FROM $BASE AS src
RUN for d in a b c; do mkdir -p /e/$d/sub && echo secret >/e/$d/f && cp /e/$d/f /e/$d/sub; done
RUN rm -r /e/? && ln -s elsewhere /e/a && echo file >/e/b && mkfifo /e/c
RUN rm /e/? && mkdir /e/a /e/b /e/c && mkdir /e/c/sub
FROM $BASE
COPY --from=src /e /copied
COPY --from=src /e/b/ /part/
COPY --from=src / /all/
RUN --mount=from=src,source=/e,target=/m cp -a /m /mounted
