ARG BASE
FROM $BASE AS source
RUN mkdir -m 2751 /out && chown 5:6 /out && echo x >/out/x
FROM $BASE
RUN --mount=from=source,source=/out,target=/in stat -c '%a %u:%g' /in >/seen && cp -a /in /copied
