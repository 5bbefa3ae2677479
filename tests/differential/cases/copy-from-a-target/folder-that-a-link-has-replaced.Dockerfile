# As `npm link` does it: what was installed before is not in the folder that the link leads to.
ARG BASE
FROM $BASE AS src
RUN mkdir -p /app/packages/pkg /app/modules/pkg && echo 2 >/app/packages/pkg/index && echo welcome >/app/packages/pkg/page
RUN echo 1 >/app/modules/pkg/index; echo old >/app/modules/pkg/old; echo welcome >/app/modules/pkg/page
RUN rm /app/modules/pkg/page
RUN rm -r /app/modules/pkg && ln -s ../packages/pkg /app/modules/pkg
FROM $BASE
COPY --from=src /app /app
COPY --from=src /app/modules/pkg /linked
COPY --from=src /app/packages/* /packages/
RUN --mount=from=src,source=/app/packages,target=/m cp -a /m /mounted
