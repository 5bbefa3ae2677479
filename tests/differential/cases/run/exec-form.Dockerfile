ARG BASE
FROM $BASE
RUN ["busybox", "touch", "/a b"]
