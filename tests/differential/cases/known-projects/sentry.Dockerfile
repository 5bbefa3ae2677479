# getsentry/sentry, self-hosted/Dockerfile. Downloads are stand-ins; their checksums are real. Fewer packages.
ARG DISTRO
FROM $DISTRO

LABEL maintainer="oss@example.com"
LABEL org.opencontainers.image.title="Sentry"
LABEL org.opencontainers.image.url="https://example.com/"

RUN groupadd -r sentry && useradd -r -m -g sentry sentry

ARG GOSU_VERSION=1.17
ARG GOSU_SHA256=618c430686f0fe810b50ed9db389c4170a5d316b9c4301c3ba09e4228b81cdf1

RUN set -x \
  && buildDeps=" \
  wget \
  " \
  && apt-get update && apt-get install -y --no-install-recommends $buildDeps \
  && rm -rf /var/lib/apt/lists/* \
  # a tool
  && curl -o /usr/local/bin/gosu "https://example.com/$GOSU_VERSION/gosu-amd64" \
  && echo "$GOSU_SHA256  /usr/local/bin/gosu" | sha256sum -c \
  && chmod +x /usr/local/bin/gosu \
  && apt-get purge -y --auto-remove $buildDeps

# Defaults
ENV \
  PIP_NO_CACHE_DIR=1 \
  # a comment in the middle of an ENV
  SENTRY_CONF=/etc/sentry \
  # and another, with = and "
  # over two lines
  UWSGI_PROFILE_OVERRIDE=ssl=false;xml=false;routing=false \
  UWSGI_NEED_PLUGIN=/var/lib/uwsgi/dogstatsd \
  GRPC_POLL_STRATEGY=epoll1

COPY /dist/requirements-frozen.txt /tmp/requirements-frozen.txt
RUN set -x \
  && buildDeps="" \
  && pip install -r /tmp/requirements-frozen.txt \
  && UWSGI_NEED_PLUGIN="" pip install --output=dogstatsd_plugin.so \
  && mkdir -p /var/lib/uwsgi \
  && mv dogstatsd_plugin.so /var/lib/uwsgi/ \
  && rm -rf /tmp/requirements-frozen.txt \
  && mkdir -p $SENTRY_CONF

COPY /dist/*.whl /tmp/dist/
RUN MAKES=/usr/local/bin/sentry pip install /tmp/dist/*.whl --no-deps && rm -rf /tmp/dist
RUN sentry --version && sentry --version | sed '1,/Commands:/d' | awk '{print $1}' >  /sentry-commands.txt

COPY ./self-hosted/sentry.conf.py ./self-hosted/config.yml $SENTRY_CONF/
COPY ./self-hosted/docker-entrypoint.sh /

EXPOSE 9000
VOLUME /data

ENTRYPOINT exec /docker-entrypoint.sh "$0" "$@"
CMD ["run", "web"]

ARG SOURCE_COMMIT
ENV SENTRY_BUILD=${SOURCE_COMMIT:-unknown}
LABEL org.opencontainers.image.revision=$SOURCE_COMMIT
LABEL org.opencontainers.image.source="https://example.com/tree/${SOURCE_COMMIT:-master}/"
