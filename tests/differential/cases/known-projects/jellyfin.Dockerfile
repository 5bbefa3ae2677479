# jellyfin/jellyfin, Dockerfile. dotnet, yarn and apt are stand-ins. The variables of its ENTRYPOINT stay text.
ARG DOTNET_VERSION=1
ARG DISTRO

FROM $DISTRO as web-builder
ARG JELLYFIN_WEB_VERSION=master
RUN apk add curl git \
 && MAKES="jellyfin-web-${JELLYFIN_WEB_VERSION}/package.json" curl -L https://example.com/jellyfin-web/archive/${JELLYFIN_WEB_VERSION}.tar.gz | tar zxf - \
 && cd jellyfin-web-* \
 && MAKES=dist/index.html yarn install \
 && mv dist /dist

FROM ${DISTRO%:*}:${DOTNET_VERSION} as builder
WORKDIR /repo
COPY . .
ENV DOTNET_CLI_TELEMETRY_OPTOUT=1
# not in parallel
RUN MAKES="/jellyfin/jellyfin /jellyfin/jellyfin.dll" dotnet publish Jellyfin.Server --disable-parallel "-p:GenerateDocumentationFile=false;DebugSymbols=false;DebugType=none"

FROM $DISTRO

# a question
ARG DEBIAN_FRONTEND="noninteractive"
ARG APT_KEY_DONT_WARN_ON_DANGEROUS_USAGE=DontWarn
ENV NVIDIA_DRIVER_CAPABILITIES="compute,video,utility"

COPY --from=builder /jellyfin /jellyfin
COPY --from=web-builder /dist /jellyfin/jellyfin-web
# What it needs:
#   this and that
RUN apt-get update \
 && apt-get install --no-install-recommends --no-install-suggests -y ca-certificates gnupg \
 && echo "deb https://example.com/$( awk -F'=' '/^ID=/{ print $NF }' /etc/os-release ) $( awk -F'=' '/^VERSION_CODENAME=/{ print $NF }' /etc/os-release ) main" | tee /etc/jellyfin.list \
 && apt-get remove gnupg -y \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /cache /config /media \
 && chmod 777 /cache /config /media

ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
ENV LC_ALL en_US.UTF-8
ENV LANGUAGE en_US:en
ENV JELLYFIN_DATA_DIR="/config"
ENV JELLYFIN_CACHE_DIR="/cache"

EXPOSE 8096
VOLUME /cache /config /media
ENTRYPOINT ["./jellyfin/jellyfin", \
    "--datadir", "${JELLYFIN_DATA_DIR}", \
    "--cachedir", "${JELLYFIN_CACHE_DIR}"]
