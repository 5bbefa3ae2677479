ARG BASE
FROM $BASE
ENV A=a
RUN ["busybox", "touch", "/$A"]
