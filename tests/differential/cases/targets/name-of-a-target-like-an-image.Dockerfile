ARG BASE
FROM $BASE AS busybox
ENV X=1
FROM busybox
