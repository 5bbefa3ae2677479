# go-gitea/gitea, Dockerfile (a fork of it). Its `add sqlite>3.38` writes a file called 3.38. Fewer packages, no password.
ARG DISTRO
###################################
#Build stage
FROM $DISTRO AS build-env

#ARG GOPROXY
#ENV GOPROXY ${GOPROXY:-direct}
ENV GOPATH /go
ARG GITEA_VERSION="release/v1.12"
ARG TAGS="sqlite sqlite_unlock_notify"
ENV TAGS "bindata $TAGS"
ENV NODE_OPTIONS "--openssl-legacy-provider"

#Build deps
RUN apk --no-cache add build-base git
RUN apk --no-cache add sqlite>3.38

#Setup repo
COPY . ${GOPATH}/src/code.gitea.io/gitea
WORKDIR ${GOPATH}/src/code.gitea.io/gitea

#Checkout version if set
RUN if [ -n "${GITEA_VERSION}" ]; then git checkout "${GITEA_VERSION}"; fi \
 #&& make build
 && make clean-all build

FROM $DISTRO
LABEL maintainer="maintainers@example.com"

EXPOSE 22 3000

RUN apk --no-cache add bash
#RUN apk --no-cache add gettext
RUN apk del libidn2

RUN addgroup \
    -S -g 1000 \
    git && \
  adduser \
    -S -H -D \
    -h /data/git \
    -s /bin/bash \
    -u 1000 \
    -G git \
    git

ENV USER git
ENV GITEA_CUSTOM /data/gitea

VOLUME ["/data"]

ENTRYPOINT ["/usr/bin/entrypoint"]
CMD ["/bin/s6-svscan", "/etc/s6"]

COPY docker/root /
COPY --from=build-env /go/src/code.gitea.io/gitea/gitea /app/gitea/gitea
RUN ln -s /app/gitea/gitea /usr/local/bin/gitea
