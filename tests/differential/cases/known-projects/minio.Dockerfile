# minio/minio, Dockerfile.release. Packages and downloads are stand-ins; shorter labels.
ARG DISTRO
FROM $DISTRO

ARG TARGETARCH

ARG RELEASE

LABEL name="MinIO" \
      maintainer="Somebody <dev@example.com>" \
      version="${RELEASE}" \
      release="${RELEASE}" \
      description="It is different. Designed for performance, it is 100% open; ideal for large, private clouds."

ENV MINIO_ACCESS_KEY_FILE=access_key \
    MINIO_ROOT_USER_FILE=access_key \
    MINIO_UPDATE_MINISIGN_PUBKEY="RWTpublic" \
    PATH=/opt/bin:$PATH

COPY dockerscripts/verify-minio.sh /usr/bin/verify-minio.sh
COPY dockerscripts/docker-entrypoint.sh /usr/bin/docker-entrypoint.sh
COPY CREDITS /licenses/CREDITS

RUN \
     microdnf update --nodocs && \
     microdnf install curl ca-certificates shadow-utils --nodocs && \
     mkdir -p /opt/bin && chmod -R 777 /opt/bin && \
     curl -s -q https://example.com/linux-${TARGETARCH}/archive/minio.${RELEASE} -o /opt/bin/minio && \
     curl -s -q https://example.com/linux-${TARGETARCH}/mc -o /opt/bin/mc && \
     chmod +x /opt/bin/minio && \
     chmod +x /opt/bin/mc && \
     chmod +x /usr/bin/docker-entrypoint.sh && \
     chmod +x /usr/bin/verify-minio.sh && \
     /usr/bin/verify-minio.sh && \
     microdnf clean all

EXPOSE 9000

ENTRYPOINT ["/usr/bin/docker-entrypoint.sh"]

VOLUME ["/data"]

CMD ["minio"]
