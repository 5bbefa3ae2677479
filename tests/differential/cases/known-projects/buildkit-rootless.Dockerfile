# moby/buildkit, Dockerfile. Only its last part: a target of its own with numeric users and many ENVs.
ARG DISTRO
FROM $DISTRO AS alpinebase
FROM alpinebase AS rootless
RUN apk add --no-cache fuse3 xz
RUN adduser -D -u 1000 user \
  && mkdir -p /run/user/1000 /home/user/.local/tmp /home/user/.local/share/buildkit \
  && chown -R user /run/user/1000 /home/user \
  && echo user:100000:65536 | tee /etc/subuid | tee /etc/subgid
COPY --link examples/buildctl-daemonless.sh /usr/bin/
# Kubernetes wants a number.
USER 1000:1000
ENV HOME /home/user
ENV USER user
ENV XDG_RUNTIME_DIR=/run/user/1000
ENV TMPDIR=/home/user/.local/tmp
ENV BUILDKIT_HOST=unix:///run/user/1000/buildkit/buildkitd.sock
VOLUME /home/user/.local/share/buildkit
ENTRYPOINT ["rootlesskit", "buildkitd"]
