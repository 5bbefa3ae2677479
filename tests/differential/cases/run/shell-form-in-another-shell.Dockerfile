ARG BASE
FROM $BASE
SHELL ["/bin/busybox", "sh", "-ec"]
RUN echo $- >/flags
