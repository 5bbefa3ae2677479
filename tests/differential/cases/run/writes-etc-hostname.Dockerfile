# The Docker Engine mounts a file of its own there, BuildKit does not.
ARG BASE
FROM $BASE
RUN test ! -e /etc/hostname; echo appliance >/etc/hostname
RUN cat /etc/hostname >/seen; stat -c %a /etc/hostname >>/seen; sed -i s/app/APP/ /etc/hostname; chmod 600 /etc/hostname
RUN mv /etc/hostname /etc/name && ln -s name /etc/hostname && cat /etc/hostname >>/seen
RUN rm /etc/hostname && mkdir /etc/hostname && echo x >/etc/hostname/x
RUN rm -r /etc/hostname; echo y >/etc/other; ln /etc/other /etc/hostname
