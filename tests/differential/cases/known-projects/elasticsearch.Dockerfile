# elastic/elasticsearch, distribution/docker/src/docker/Dockerfile, its ubi variant filled in. Archive from the context.
################################################################################
# Beginning of multi stage Dockerfile
################################################################################
ARG DISTRO
FROM $DISTRO AS builder

RUN set -eux ; \
    tini_bin="" ; \
    case "$(arch)" in \
        aarch64) tini_bin='tini-arm64' ;; \
        x86_64)  tini_bin='tini-amd64' ;; \
        *) echo >&2 ; echo >&2 "Unsupported architecture $(arch)" ; echo >&2 ; exit 1 ;; \
    esac ; \
    curl --retry -S -L -O https://example.com/v0.19.0/${tini_bin} ; \
    sha256sum ${tini_bin} > ${tini_bin}.sha256sum ; \
    sha256sum -c ${tini_bin}.sha256sum ; \
    rm ${tini_bin}.sha256sum ; \
    mv ${tini_bin} /bin/tini ; \
    chmod +x /bin/tini

RUN mkdir /usr/share/elasticsearch
WORKDIR /usr/share/elasticsearch

COPY elasticsearch.tar.gz /opt/elasticsearch.tar.gz

RUN tar -zxf /opt/elasticsearch.tar.gz --strip-components=1

COPY config/elasticsearch.yml config/

RUN sed -i -e 's/ES_DISTRIBUTION_TYPE=tar/ES_DISTRIBUTION_TYPE=docker/' bin/elasticsearch-env && \
    mkdir -p config/jvm.options.d data logs plugins && \
    find . -type d -exec chmod 0555 {} + && \
    find . -type f -exec chmod 0444 {} + && \
    chmod +x bin/* && \
    chmod -R ug+w config data logs plugins

FROM $DISTRO

RUN for iter in $(seq 10); do \
      microdnf update --setopt=tsflags=nodocs -y && \
      microdnf install --setopt=tsflags=nodocs -y \
      nc shadow-utils && \
      microdnf clean all && \
      exit_code=0 && break || exit_code=$? && echo "retry $iter" && sleep 1; \
    done; \
    exit $exit_code

RUN groupadd -g 1000 elasticsearch && \
    adduser -u 1000 -G elasticsearch -H -d /usr/share/elasticsearch elasticsearch && \
    mkdir /usr/share/elasticsearch && \
    chmod 0775 /usr/share/elasticsearch && \
    chown -R 1000:0 /usr/share/elasticsearch

ENV ELASTIC_CONTAINER true

WORKDIR /usr/share/elasticsearch
COPY --from=builder --chown=1000:0 /usr/share/elasticsearch /usr/share/elasticsearch
COPY --from=builder --chown=0:0 /bin/tini /bin/tini

ENV PATH /usr/share/elasticsearch/bin:$PATH

COPY bin/docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh

# 1. Permissions of /etc/passwd
# 2. No setuid
RUN chmod g=u /etc/passwd && \
    chmod 0775 /usr/local/bin/docker-entrypoint.sh && \
    find /usr /opt -xdev -perm -4000 -exec chmod ug-s {} + && \
    ln -sf /etc/pki/ca-trust/extracted/java/certs /usr/share/elasticsearch/bin/cacerts && \
    chmod 555 /usr/share/elasticsearch

EXPOSE 9200 9300

LABEL org.label-schema.build-date="2021-01-01T00:00:00Z" \
  org.label-schema.schema-version="1.0" \
  org.opencontainers.image.version="8.0.0"

LABEL name="Elasticsearch" \
  release="1" \
  description="You know, for search."

RUN mkdir /licenses && cp LICENSE.txt /licenses/LICENSE

USER elasticsearch:root

ENTRYPOINT ["/bin/tini", "--", "/usr/local/bin/docker-entrypoint.sh"]

# Something that the entrypoint knows
CMD ["eswrapper"]

HEALTHCHECK --interval=10s --timeout=5s --start-period=1m --retries=5 CMD curl -I -f --max-time 5 http://localhost:9200 || exit 1

################################################################################
# End of multi-stage Dockerfile
################################################################################
