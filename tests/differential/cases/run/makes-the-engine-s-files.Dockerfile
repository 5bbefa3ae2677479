ARG BASE
FROM $BASE
RUN ls /etc/hostname /etc/mtab /.dockerenv >/seen 2>/dev/null; ln -s /proc/mounts /etc/mtab; mkdir /.dockerenv /etc/hostname
RUN rmdir /.dockerenv; rm /etc/mtab; echo x >/.dockerenv; chown 5:6 /etc/hostname; chmod 700 /etc
RUN chown 7:8 /etc; chmod 1775 /etc
RUN echo x >/etc/new; stat -c '%a %u %g' /etc >/seen2
