# hashicorp/vault, Dockerfile. Three lines of it: without BIN_NAME, BuildKit copies the whole folder.
ARG DISTRO
FROM $DISTRO
ARG BIN_NAME TARGETOS TARGETARCH
COPY dist/$TARGETOS/$TARGETARCH/$BIN_NAME /bin/
