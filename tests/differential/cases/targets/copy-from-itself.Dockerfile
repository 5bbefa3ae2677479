ARG BASE
FROM $BASE AS a
COPY --from=a /etc/group /n
