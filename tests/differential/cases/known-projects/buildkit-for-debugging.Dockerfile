# moby/buildkit, Dockerfile. The same as buildkit.Dockerfile, with an argument that chooses other targets (group.yaml).
# syntax=docker/dockerfile-upstream:master

ARG RUNC_VERSION=v1.1.10
ARG ALPINE_VERSION=1
ARG DISTRO
ARG BARE
ARG BUILDKIT_DEBUG

FROM ${DISTRO%:*}:${ALPINE_VERSION} AS alpine-amd64
FROM nothing.invalid/alpine:edge@sha256:2222222222222222222222222222222222222222222222222222222222222222 AS alpine-riscv64
FROM alpine-$TARGETARCH AS alpinebase

FROM --platform=$BUILDPLATFORM $BARE AS xx

FROM --platform=$BUILDPLATFORM $DISTRO AS git
RUN apk add --no-cache git

FROM alpinebase AS gobuild-base
ENV GOPATH=/go
RUN apk add --no-cache file bash clang
COPY --link --from=xx / /

FROM git AS runc-src
ARG RUNC_VERSION
WORKDIR /usr/src
RUN git clone https://example.com/opencontainers/runc.git runc \
  && cd runc && git checkout -q "$RUNC_VERSION"

FROM gobuild-base AS runc
WORKDIR $GOPATH/src/github.com/opencontainers/runc
ARG TARGETPLATFORM
RUN --mount=from=runc-src,src=/usr/src/runc,target=. \
  --mount=target=/root/.cache,type=cache <<EOT
  set -ex
  cat README
  CGO_ENABLED=1 xx-go build -mod=vendor -ldflags '-extldflags -static' -o /usr/bin/runc ./
  if [ "linux" = "linux" ]; then /usr/bin/runc --version; fi
EOT

FROM gobuild-base AS buildkit-base
WORKDIR /src
ENV GOFLAGS=-mod=vendor

FROM buildkit-base AS buildkit-version
RUN --mount=target=. \
  PKG=github.com/moby/buildkit VERSION=$(git describe --match 'v[0-9]*' --dirty='.m' --always --tags) REVISION=$(git rev-parse HEAD); \
  echo "-X ${PKG}/version.Version=${VERSION} -X ${PKG}/version.Revision=${REVISION}" | tee /tmp/.ldflags; \
  echo -n "${VERSION}" | tee /tmp/.version;

FROM buildkit-base AS buildkitd
ARG BUILDKITD_TAGS
ARG TARGETPLATFORM
ARG VERIFYFLAGS="--static"
ARG CGO_ENABLED=0
ARG BUILDKIT_DEBUG
ARG GOGCFLAGS=${BUILDKIT_DEBUG:+"all=-N -l"}
RUN --mount=target=. --mount=target=/root/.cache,type=cache \
  --mount=target=/go/pkg/mod,type=cache \
  --mount=source=/tmp/.ldflags,target=/tmp/.ldflags,from=buildkit-version <<EOT
  set -ex
  xx-go build ${GOBUILDFLAGS} -gcflags="${GOGCFLAGS}" -ldflags "$(cat /tmp/.ldflags) -extldflags '-static'" -o /usr/bin/buildkitd ./cmd/buildkitd

  set +ex
  for attempt in $(seq "2"); do
    /usr/bin/buildkitd --version
    exitcode=$?
    if [ $exitcode -eq 0 ]; then
      exit $exitcode
    fi
  done
EOT

FROM scratch AS binaries-linux
COPY --link --from=runc /usr/bin/runc /buildkit-runc
COPY --link --from=buildkitd /usr/bin/buildkitd /

FROM scratch AS binaries-windows
COPY --link --from=buildkitd /usr/bin/buildkitd /buildkitd.exe

FROM binaries-$TARGETOS AS binaries
ARG BUILDKIT_SBOM_SCAN_STAGE=true

FROM --platform=$BUILDPLATFORM $DISTRO AS releaser
WORKDIR /work
ARG TARGETPLATFORM
RUN --mount=from=binaries \
  --mount=source=/tmp/.version,target=/tmp/.version,from=buildkit-version \
  mkdir -p /out && ls >"/out/buildkit-$(cat /tmp/.version).$(echo $TARGETPLATFORM | sed 's/\//-/g').list"

FROM alpinebase AS buildkit-export
RUN apk add --no-cache fuse3 git \
  && ln -s fusermount3 /usr/bin/fusermount
COPY --link examples/buildctl-daemonless.sh /usr/bin/
VOLUME /var/lib/buildkit

FROM buildkit-export AS buildkit-linux
COPY --link --from=binaries / /usr/bin/
COPY --link --from=releaser /out/ /
ENV BUILDKIT_SETUP_CGROUPV2_ROOT=1
ENTRYPOINT ["buildkitd"]

FROM buildkit-linux AS buildkit-linux-debug
COPY --link --chmod=755 <<EOF /docker-entrypoint.sh
#!/bin/sh
exec dlv exec /usr/bin/buildkitd \\
  --api-version=2 \\
  -l 0.0.0.0:\${DELVE_PORT:-5000} \\
  -- "\$@"
EOF
ENV DELVE_PORT 5000
ENTRYPOINT ["/docker-entrypoint.sh"]

FROM buildkit-$TARGETOS${BUILDKIT_DEBUG:+-debug} AS buildkit
