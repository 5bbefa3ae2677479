# prometheus/prometheus, Dockerfile. Columns of blanks, LABEL without "="; programs come from the commit.
ARG DISTRO
FROM        $DISTRO
LABEL maintainer "Some Authors <developers@example.com>"

COPY prometheus                             /bin/prometheus
COPY documentation/examples/prometheus.yml  /etc/prometheus/prometheus.yml
COPY console_libraries/                     /usr/share/prometheus/console_libraries/
COPY consoles/                              /usr/share/prometheus/consoles/

RUN ln -s /usr/share/prometheus/console_libraries /usr/share/prometheus/consoles/ /etc/prometheus/ && \
    addgroup -g 1000 prometheus && \
    adduser -s /bin/sh -S -H -u 1000 -G prometheus prometheus && \
    mkdir -p /prometheus && \
    chown -R prometheus:prometheus /etc/prometheus /prometheus

EXPOSE     9090
VOLUME     [ "/prometheus" ]
WORKDIR    /prometheus
ENTRYPOINT [ "/bin/prometheus" ]
USER       prometheus
CMD        [ "-config.file=/etc/prometheus/prometheus.yml", \
             "-storage.local.path=/prometheus", \
             "-web.console.libraries=/usr/share/prometheus/console_libraries" ]
