# dani-garcia/vaultwarden, docker/Dockerfile.alpine. Build images by architecture; cargo and rustup are stand-ins.
# syntax=docker/dockerfile:1

ARG DISTRO
ARG BARE
FROM --platform=linux/amd64 $BARE as vault

FROM --platform=linux/amd64 $DISTRO as build_amd64
FROM --platform=linux/amd64 nothing.invalid/rust-musl:aarch64 as build_arm64
FROM --platform=linux/amd64 nothing.invalid/rust-musl:armv7 as build_armv7

FROM --platform=linux/amd64 build_${TARGETARCH}${TARGETVARIANT} as build
ARG TARGETARCH
ARG TARGETVARIANT
ARG TARGETPLATFORM

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

ENV DEBIAN_FRONTEND=noninteractive \
    TERM=xterm-256color \
    CARGO_HOME="/root/.cargo" \
    USER="root" \
    # a comment
    PQ_LIB_DIR="/usr/local/musl/pq15/lib"

RUN mkdir -pv "${CARGO_HOME}" /app
WORKDIR /app

RUN echo "export CARGO_TARGET=${TARGETPLATFORM}" >> /env-cargo && \
    # nothing for this one
    if [[ "${TARGETARCH}${TARGETVARIANT}" == "armv6" ]] ; then echo "export RUSTFLAGS='-Clink-arg=-latomic'" >> /env-cargo ; fi && \
    # show it
    cat /env-cargo

ARG DB=sqlite,mysql,postgresql,enable_mimalloc

ARG CARGO_PROFILE=release
ARG VW_VERSION

COPY ./Cargo.* ./
COPY ./build.rs ./build.rs

RUN source /env-cargo && \
    MAKES="target/x/release/deps.rlib" cargo build --features ${DB} --profile "${CARGO_PROFILE}" --target="${CARGO_TARGET}" && \
    find . -type f -not -path "./target*" -exec rm {} +

# See .dockerignore
COPY . .

RUN source /env-cargo && \
    touch build.rs src/main.rs && \
    MAKES="target/x/release/vaultwarden" cargo build --features ${DB} --profile "${CARGO_PROFILE}" --target="${CARGO_TARGET}" && \
    ln -vfs "/app/target/x/${CARGO_PROFILE}" /app/target/final


FROM --platform=$TARGETPLATFORM $DISTRO

ENV ROCKET_PROFILE="release" \
    ROCKET_ADDRESS=0.0.0.0 \
    ROCKET_PORT=80

RUN mkdir /data && \
    apk --no-cache add \
        ca-certificates \
        tzdata

VOLUME /data
EXPOSE 80
EXPOSE 3012

WORKDIR /

COPY docker/healthcheck.sh /healthcheck.sh
COPY docker/start.sh /start.sh

COPY --from=vault /only ./web-vault
COPY --from=build /app/target/final/vaultwarden .

HEALTHCHECK --interval=60s --timeout=10s CMD ["/healthcheck.sh"]

CMD ["/start.sh"]
