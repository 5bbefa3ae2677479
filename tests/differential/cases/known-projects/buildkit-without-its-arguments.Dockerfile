# moby/buildkit, Dockerfile. Three lines of it, about BUILDKIT_DEBUG.
ARG DISTRO
FROM $DISTRO
ARG BUILDKIT_DEBUG
ARG GOGCFLAGS=${BUILDKIT_DEBUG:+"all=-N -l"}
RUN echo "flags: ${GOGCFLAGS}" >/flags
