ARG BASE
FROM $BASE
RUN echo a >/n; chmod 4755 /n; ln /n /hard; ln -s n /soft; mkdir -m 1777 /d; mkfifo /p; chown 5:6 /d
