ARG BASE
FROM $BASE
COPY --link --chmod=600 a.txt /tmp/
