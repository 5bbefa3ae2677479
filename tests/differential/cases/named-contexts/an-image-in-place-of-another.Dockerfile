# Whatever way its name is written.
FROM docker.io/library/golang:1.26 AS a
COPY own.txt /
FROM debian:latest
COPY --from=a /own.txt /etc/group /copied/
COPY --from=golang:1.26 /etc/passwd /copied/
