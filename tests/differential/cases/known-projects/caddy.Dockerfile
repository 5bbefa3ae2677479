# caddyserver/caddy-docker, 2.7/alpine/Dockerfile. Downloads are stand-ins of curl; checksums are theirs.
ARG DISTRO
FROM $DISTRO

RUN apk add --no-cache \
	ca-certificates \
	libcap

RUN set -eux; \
	mkdir -p \
		/config/caddy \
		/data/caddy \
		/etc/caddy \
	; \
	curl -o /etc/caddy/Caddyfile "https://example.com/dist/config/Caddyfile"

# A comment between instructions.
ENV CADDY_VERSION v2.7.2

RUN set -eux; \
	apkArch="$(apk --print-arch)"; \
	case "$apkArch" in \
		x86_64)  binArch='amd64' ;; \
		armv7)   binArch='armv7' ;; \
		*) echo >&2 "error: unsupported architecture ($apkArch)"; exit 1 ;;\
	esac; \
	MAKES='caddy LICENSE' curl -o /tmp/caddy.tar.gz "https://example.com/caddy_${CADDY_VERSION}_linux_${binArch}.tar.gz"; \
	tar x -z -f /tmp/caddy.tar.gz -C /usr/bin ./caddy; \
	rm -f /tmp/caddy.tar.gz; \
	chmod +x /usr/bin/caddy; \
	caddy version

ENV XDG_CONFIG_HOME /config
ENV XDG_DATA_HOME /data

LABEL org.opencontainers.image.version=v2.7.2
LABEL org.opencontainers.image.description="a server, with \"quotes\" of ours"
LABEL org.opencontainers.image.licenses=Apache-2.0

EXPOSE 80
EXPOSE 443
EXPOSE 443/udp
EXPOSE 2019

WORKDIR /srv

CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
