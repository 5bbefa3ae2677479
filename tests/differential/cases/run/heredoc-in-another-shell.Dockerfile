ARG BASE
FROM $BASE
SHELL ["/bin/busybox", "sh", "-ec"]
RUN <<EOF
echo $- >/flags
EOF
