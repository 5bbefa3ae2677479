# docker/cli, Dockerfile. Two variants of the bases, one build; go, apk and xx are stand-ins; no e2e and test targets.
# syntax=docker/dockerfile:1

ARG BASE_VARIANT=alpine
ARG DISTRO
ARG BARE
ARG GO_VERSION=1
ARG GOVERSIONINFO_VERSION=v1.3.0
ARG GOTESTSUM_VERSION=v1.10.0

FROM --platform=$BUILDPLATFORM $BARE AS xx

FROM --platform=$BUILDPLATFORM ${DISTRO%:*}:${GO_VERSION} AS build-base-alpine
COPY --from=xx / /
RUN apk add --no-cache bash clang lld
WORKDIR /go/src/github.com/docker/cli

FROM build-base-alpine AS build-alpine
ARG TARGETPLATFORM
RUN xx-apk add --no-cache musl-dev gcc

FROM --platform=$BUILDPLATFORM nothing.invalid/golang:${GO_VERSION}-bullseye AS build-base-bullseye
COPY --from=xx / /
WORKDIR /go/src/github.com/docker/cli

FROM build-base-bullseye AS build-bullseye
ARG TARGETPLATFORM
RUN [ "$TARGETPLATFORM" != "darwin/amd64" ] || ln -sfnT /bin/true /usr/bin/llvm-strip

FROM build-base-${BASE_VARIANT} AS goversioninfo
ARG GOVERSIONINFO_VERSION
RUN --mount=type=cache,target=/root/.cache/go-build \
    --mount=type=cache,target=/go/pkg/mod \
    GOBIN=/out GO111MODULE=on go install "github.com/josephspurrier/goversioninfo/cmd/goversioninfo@${GOVERSIONINFO_VERSION}"

FROM build-${BASE_VARIANT} AS build
ARG GO_LINKMODE=static
ARG GO_BUILDTAGS
ARG CGO_ENABLED
ARG VERSION
COPY --from=goversioninfo /out/goversioninfo /usr/bin/goversioninfo
RUN [ ! -f /etc/alpine-release ] && xx-info is-cross && XX_CC_PREFER_LINKER=ld xx-clang --setup-target-triple || true
RUN --mount=type=bind,target=.,ro \
    --mount=type=cache,target=/root/.cache \
    --mount=from=xx,target=/xx-sdk,src=/ \
    --mount=type=tmpfs,target=cli/winresources \
    # a comment in the middle
    cat /xx-sdk/only && touch cli/winresources/x && \
    # export GOCACHE=$(go env GOCACHE)
    TARGET=/out ./scripts/build/binary && \
    /out/docker $([ "$GO_LINKMODE" = "static" ] && echo "--static")

FROM build-${BASE_VARIANT} AS build-plugins
ARG GO_LINKMODE=static
ARG VERSION
RUN --mount=ro --mount=type=cache,target=/root/.cache \
    --mount=from=xx,target=/xx-sdk,src=/ \
    TARGET=/out ./scripts/build/plugins e2e/cli-plugins/plugins/*

FROM build-base-${BASE_VARIANT} AS dev
COPY . .

FROM scratch AS plugins
COPY --from=build-plugins /out .

FROM scratch AS binary
COPY --from=build /out .
COPY --from=plugins / .
