# astral-sh/uv, Dockerfile. Rust and zig are stand-ins; comments between flags and in heredocs stay.
# syntax=docker/dockerfile:1
ARG DISTRO

FROM --platform=${BUILDPLATFORM} $DISTRO AS builder
# Fail early.
SHELL ["/bin/bash", "-eux", "-o", "pipefail", "-c"]

RUN \
  --mount=target=/var/lib/apt/lists,type=cache,sharing=locked \
  --mount=target=/var/cache/apt,type=cache,sharing=locked \
  <<HEREDOC
    # a comment of the script
    mkdir -p /etc/apt/apt.conf.d
    echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache

    apt update && apt install -y --no-install-recommends \
      build-essential \
      curl
HEREDOC

ENV HOME="/root"
ENV PATH="$HOME/.venv/bin:$PATH"
WORKDIR $HOME

RUN <<HEREDOC
  MAKES=".venv/bin/pip" python3 -m venv $HOME/.venv
  .venv/bin/pip install --no-cache-dir cargo-zigbuild
HEREDOC

ENV PATH="$HOME/.cargo/bin:$PATH"
COPY rust-toolchain.toml .
ARG TARGETPLATFORM
RUN <<HEREDOC
  case "${TARGETPLATFORM}" in
    ( 'linux/arm64' )
      CARGO_BUILD_TARGET='aarch64-unknown-linux-musl'
      ;;
    ( 'linux/amd64' )
      CARGO_BUILD_TARGET='x86_64-unknown-linux-musl'
      ;;
    *) exit 1 ;;
  esac

  echo 'profile = "minimal"' >> rust-toolchain.toml
  echo "${CARGO_BUILD_TARGET}" > rust_target.txt
HEREDOC

ARG APP_NAME=uv
ARG CARGO_HOME=/usr/local/cargo
COPY crates/ crates/
COPY Cargo.toml Cargo.lock .
RUN \
  --mount=type=cache,target="/root/.cache/zig",id="zig-cache" \
  # a comment between flags: `${CARGO_HOME}/{.global-cache,.package-cache}`
  --mount=type=cache,target="${CARGO_HOME}",id="cargo-cache" \
  --mount=type=cache,target="target/",id="cargo-target-${APP_NAME}",sharing=locked \
  # another
  --mount=type=tmpfs,target="${CARGO_HOME}/registry/src" \
  --mount=type=tmpfs,target="${CARGO_HOME}/git/checkouts" \
  <<HEREDOC
    cargo zigbuild --release --target "$(cat rust_target.txt)" -o "target/$(cat rust_target.txt)/release/${APP_NAME}"
    cp "target/$(cat rust_target.txt)/release/${APP_NAME}" "/${APP_NAME}"

    # strip --strip-all /uv
HEREDOC

FROM scratch AS output
COPY --from=builder /uv /uv
WORKDIR /io
ENTRYPOINT ["/uv"]
