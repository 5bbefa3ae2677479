# mastodon/mastodon, Dockerfile (of a fork). bundle, yarn and rails are stand-ins; comments within RUN stay.
# syntax=docker/dockerfile:1.4
# hadolint global ignore=DL3008,DL3009

ARG DISTRO
ARG BASE_IMAGE="${DISTRO}"

ARG UID="991"
ARG GID="991"

# change with [--build-arg MASTODON_HOME=/some/path]
ARG MASTODON_HOME="/opt/mastodon"
ARG TZ="Etc/UTC"
ARG MASTODON_VERSION_PRERELEASE=""
ARG RAILS_ENV="production"
ARG BIND="0.0.0.0"

########################################################################################
FROM ${BASE_IMAGE} as base
ARG TARGETPLATFORM
ARG UID
ARG GID
ARG MASTODON_HOME
ARG TZ
ARG RAILS_ENV

RUN \
    --mount=type=cache,id=${TARGETPLATFORM}-/var/cache,target=/var/cache,sharing=locked \
    --mount=type=cache,id=${TARGETPLATFORM}-/var/lib/apt,target=/var/lib/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    set -eux; \
    # Update, as /var/lib/apt/lists is empty
    apt-get update; \
    apt-get install -y --no-install-recommends \
        # for the runtime
        file \
        tini \
        # for the gems
        libpq5 \
    ; \
    groupadd -g "${GID}" mastodon; \
    useradd -u "${UID}" -g "${GID}" -l -m -d "${MASTODON_HOME}" mastodon; \
    case "${RAILS_ENV}" in \
        development) bundle config set --local without 'test';; \
        production) bundle config set --local without 'development test';; \
    esac;

ENV MASTODON_HOME="${MASTODON_HOME}" \
    TZ="${TZ}" \
    RAILS_ENV="${RAILS_ENV}"

WORKDIR ${MASTODON_HOME}

########################################################################################
FROM base as bundle-installer
ARG TARGETPLATFORM

ADD Gemfile* ${MASTODON_HOME}/

RUN \
    --mount=type=cache,id=${TARGETPLATFORM}-/var/cache,target=/var/cache,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    set -eux; \
    # Install gems
    MAKES=vendor/bundle/gem bundle install --no-cache;

########################################################################################
FROM base as yarn-installer

ADD package.json yarn.lock ${MASTODON_HOME}/

RUN set -eux; \
    MAKES=node_modules/a/index.js yarn install --frozen-lockfile --network-timeout 600000; \
    yarn cache clean --all;

########################################################################################
FROM base
ARG BIND
ARG MASTODON_VERSION_PRERELEASE

COPY --link . ${MASTODON_HOME}

COPY --link --from=bundle-installer ${MASTODON_HOME}/vendor/bundle ${MASTODON_HOME}/vendor/bundle
COPY --link --from=yarn-installer ${MASTODON_HOME}/node_modules ${MASTODON_HOME}/node_modules

RUN set -eux; \
    # as 1777
    mkdir -p ${MASTODON_HOME}/tmp && chmod 1777 ${MASTODON_HOME}/tmp; \
    mkdir -p ${MASTODON_HOME}/public && chmod 1777 ${MASTODON_HOME}/public;

ENV PATH="${PATH}:${MASTODON_HOME}/bin" \
    RAILS_SERVE_STATIC_FILES="true" \
    BIND="${BIND}" \
    MASTODON_VERSION_PRERELEASE="${MASTODON_VERSION_PRERELEASE}"

USER mastodon

RUN set -eux; \
    case "${RAILS_ENV}" in \
        development) exit 0;; \
        *) \
            # Precompile
            OTP_SECRET=precompile_placeholder MAKES="public/packs.js tmp/cache" bundle assets:precompile; \
            rm -rf /tmp/* tmp/* .cache/*; \
        ;; \
    esac;

ENTRYPOINT ["/usr/bin/tini", "--"]

EXPOSE 3000 4000
