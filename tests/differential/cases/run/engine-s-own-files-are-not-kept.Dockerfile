ARG BASE
FROM $BASE
RUN echo x >>/etc/hosts || true; echo y >/dev/y || true; ls -d /.dockerenv || true
