FROM scratch
COPY a.txt /etc/passwd
COPY --chown=root a.txt /x
COPY --chown=root:root --link a.txt /y
COPY --chown=7:root a.txt /z
USER root
WORKDIR /w
