# Nothing of the target counts: its RUN would fail.
ARG BASE
FROM $BASE AS assets
RUN exit 1
FROM $BASE
COPY --from=assets . /named/
COPY --from=0 a.txt /numbered/
RUN --mount=from=assets,target=/m cat /m/deep/x.css >/mounted
