ARG BASE
FROM $BASE AS left
ONBUILD RUN <<EOF
echo one >/one
echo two >/two
EOF
ONBUILD COPY <<"EOF" /three
$not
EOF
FROM left
