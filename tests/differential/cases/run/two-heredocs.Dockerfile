ARG BASE
FROM $BASE
RUN cat <<A >/a && cat <<B >/b
one
A
two
B
