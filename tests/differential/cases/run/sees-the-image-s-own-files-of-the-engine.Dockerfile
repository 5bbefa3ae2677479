# /etc/hostname, /etc/mtab and /.dockerenv of the image: the Docker Engine has files of its own over them.
ARG BASE
FROM $BASE
COPY <<HOSTNAME /etc/hostname
of the image
HOSTNAME
COPY <<MTAB /etc/mtab
none
MTAB
COPY --chmod=640 <<MARK /.dockerenv
mark
MARK
RUN cat /etc/hostname /etc/mtab /.dockerenv >/seen; stat -c %a /.dockerenv >>/seen
RUN rm /.dockerenv /etc/hostname; ln -sf /proc/self/mounts /etc/mtab
RUN touch /.dockerenv; ls -a / | grep -c dockerenv >>/seen; readlink /etc/mtab >>/seen
