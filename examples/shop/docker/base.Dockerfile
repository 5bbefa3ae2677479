# What the shop runs on: a shell, a web server and the vendored libraries.

FROM scratch AS system
# One program that is all of a small Unix. `make demo` takes it from the machine (Debian's busybox-static).
COPY docker/busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "busybox --install -s /bin && mkdir -m 1777 /tmp"]
COPY docker/passwd docker/group /etc/

# The libraries are checked against the lock and installed here; only the result goes into the image.
FROM system AS libraries
WORKDIR /src
COPY vendor/ .
RUN sha256sum -c vendor.lock && sh install.sh /opt/lib

FROM system
COPY --from=libraries /opt/lib /opt/lib
ENV LIB=/opt/lib
LABEL org.opencontainers.image.title="shop base"
