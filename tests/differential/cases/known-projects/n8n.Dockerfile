# n8n-io/n8n, docker/images/n8n/Dockerfile. Its ENVs of proxies without values; downloads and npm are stand-ins.
ARG NODE_VERSION=1
ARG N8N_VERSION=snapshot
ARG LAUNCHER_VERSION=1.3.0
ARG DISTRO
ARG TARGETPLATFORM
ARG http_proxy
ARG https_proxy
ARG HTTP_PROXY

# ==============================================================================
# System Dependencies
# ==============================================================================
FROM ${DISTRO%:*}:${NODE_VERSION} AS system-deps
ENV http_proxy=$http_proxy \
    https_proxy=$https_proxy \
    HTTP_PROXY=$HTTP_PROXY

FROM $DISTRO AS app-artifact-processor
ENV http_proxy=$http_proxy \
    HTTP_PROXY=$HTTP_PROXY

COPY ./compiled /app/

FROM $DISTRO AS launcher-downloader
ARG TARGETPLATFORM
ARG LAUNCHER_VERSION
ARG http_proxy
ARG HTTP_PROXY
ENV http_proxy=$http_proxy \
    HTTP_PROXY=$HTTP_PROXY

RUN set -e; \
    case "$TARGETPLATFORM" in \
        "linux/amd64") ARCH_NAME="amd64" ;; \
        "linux/arm64") ARCH_NAME="arm64" ;; \
        *) echo "Unsupported platform: $TARGETPLATFORM" && exit 1 ;; \
    esac; \
    mkdir /launcher-temp && cd /launcher-temp; \
    MAKES=task-runner-launcher curl -O "https://example.com/${LAUNCHER_VERSION}/launcher-${LAUNCHER_VERSION}-linux-${ARCH_NAME}.tar.gz"; \
    sha256sum *.tar.gz > checksum.sha256; \
    sha256sum -c checksum.sha256; \
    mkdir -p /launcher-bin; \
    tar xzf launcher-${LAUNCHER_VERSION}-linux-${ARCH_NAME}.tar.gz -C /launcher-bin; \
    cd / && rm -rf /launcher-temp

FROM system-deps AS runtime
ARG http_proxy
ARG HTTP_PROXY
ENV http_proxy=$http_proxy \
    HTTP_PROXY=$HTTP_PROXY

ARG N8N_VERSION
ARG N8N_RELEASE_TYPE=dev
ENV NODE_ENV=production
ENV N8N_RELEASE_TYPE=${N8N_RELEASE_TYPE}
ENV SHELL=/bin/sh

RUN addgroup -g 1000 node && adduser -u 1000 -G node -D node
WORKDIR /home/node

COPY --from=app-artifact-processor /app /usr/local/lib/node_modules/n8n
COPY --from=launcher-downloader /launcher-bin/* /usr/local/bin/
COPY docker/images/n8n/docker-entrypoint.sh /
COPY docker/images/n8n/n8n-task-runners.json /etc/n8n-task-runners.json

RUN cd /usr/local/lib/node_modules/n8n && \
		MAKES=node_modules/sqlite3.node npm rebuild sqlite3 && \
		ln -s /usr/local/lib/node_modules/n8n/bin/n8n /usr/local/bin/n8n && \
    mkdir -p /home/node/.n8n && \
    chown -R node:node /home/node

EXPOSE 5678/tcp
USER node
ENTRYPOINT ["tini", "--", "/docker-entrypoint.sh"]

LABEL org.opencontainers.image.title="n8n" \
      org.opencontainers.image.version=${N8N_VERSION}
