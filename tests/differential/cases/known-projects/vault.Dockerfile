# hashicorp/vault, Dockerfile. NAME and VERSION without values; the rest is as given.
ARG DISTRO
FROM $DISTRO as default

ARG BIN_NAME
ARG NAME=vault
ARG VERSION
ARG TARGETOS TARGETARCH

LABEL maintainer="A Team <vault@example.com>"
LABEL version=$VERSION

ENV NAME=$NAME
ENV VERSION=$VERSION

RUN addgroup ${NAME} && adduser -S -G ${NAME} ${NAME}

RUN apk add --no-cache libcap su-exec dumb-init tzdata

COPY dist/$TARGETOS/$TARGETARCH/$BIN_NAME /bin/

RUN mkdir -p /vault/logs && \
    mkdir -p /vault/config && \
    chown -R ${NAME}:${NAME} /vault

VOLUME /vault/logs
VOLUME /vault/file

EXPOSE 8200

COPY .release/docker/docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]


CMD ["server", "-dev"]
