ARG BASE
FROM $BASE
RUN <<EOF
echo a >/a
echo "b $HOME" >/b
EOF
