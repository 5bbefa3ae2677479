# nginxinc/docker-nginx, mainline/alpine/Dockerfile (1.17). No keys and no build from source; packages are stand-ins.
ARG DISTRO
FROM $DISTRO

LABEL maintainer="NGINX Maintainers <maint@example.com>"

ENV NGINX_VERSION 1.17.0
ENV NJS_VERSION   0.3.2
ENV PKG_RELEASE   1

RUN set -x \
# a user first
    && addgroup -g 101 -S nginx \
    && adduser -S -D -H -u 101 -h /var/cache/nginx -s /sbin/nologin -G nginx -g nginx nginx \
    && apkArch="$(apk --print-arch)" \
    && nginxPackages=" \
        nginx=${NGINX_VERSION}-r${PKG_RELEASE} \
        nginx-module-njs=${NGINX_VERSION}.${NJS_VERSION}-r${PKG_RELEASE} \
    " \
    && case "$apkArch" in \
        x86_64) \
# with a comment in a case
            set -x \
            && printf "%s%s%s\n" \
                "https://example.com/alpine/v" \
                `egrep -o '^[A-Z]+' /etc/os-release | head -n 1` \
                "/main" \
            | tee -a /etc/repositories \
            ;; \
        *) exit 1 ;; \
    esac \
    && apk add --no-cache $nginxPackages \
    && sed -i '$ d' /etc/repositories \
    \
    && runDeps="$( \
        echo "/usr/bin/envsubst libintl.so.8,libc.so" \
            | awk '{ gsub(/,/, "\nso:", $2); print "so:" $2 }' \
            | sort -u \
            | xargs -r apk info --installed \
            | sort -u \
    )" \
    && apk add --no-cache $runDeps \
    && mkdir /var/log/nginx \
    && ln -sf /dev/stdout /var/log/nginx/access.log \
    && ln -sf /dev/stderr /var/log/nginx/error.log

EXPOSE 80

STOPSIGNAL SIGTERM

CMD ["nginx", "-g", "daemon off;"]
