# Both engines mount files of their own there: nothing of them is in the image, and what is there cannot go.
ARG BASE
FROM $BASE
COPY <<HOSTS /etc/hosts
10.0.0.1 of-the-image
HOSTS
RUN (echo 10.0.0.2 x >>/etc/hosts; sed -i s/10/11/ /etc/hosts; rm -f /etc/hosts; mv /etc/resolv.conf /x) 2>/dev/null; grep -c of-the-image /etc/hosts >/seen; true
RUN rm -rf /etc 2>/dev/null; true
