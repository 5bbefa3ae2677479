# traefik/traefik, Dockerfile. The whole of it, on a local base.
# syntax=docker/dockerfile:1.2
ARG DISTRO
FROM $DISTRO

RUN apk add --no-cache --no-progress ca-certificates tzdata

ARG TARGETPLATFORM
COPY ./dist/$TARGETPLATFORM/traefik /

EXPOSE 80
VOLUME ["/tmp"]

ENTRYPOINT ["/traefik"]
