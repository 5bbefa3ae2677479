ARG BASE
FROM $BASE AS a
COPY --from=b /etc/group /n
FROM $BASE AS b
