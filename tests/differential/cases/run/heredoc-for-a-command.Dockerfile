ARG BASE
FROM $BASE
RUN cat >/a <<EOF
one $HOME
two
EOF
