ARG BASE
FROM $BASE
RUN <<EOF
#!/bin/busybox sh
echo "sh $0" | cut -c1-3 >/a
EOF
