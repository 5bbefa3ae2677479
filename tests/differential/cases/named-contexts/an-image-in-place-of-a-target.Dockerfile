ARG BASE
FROM scratch AS tools
COPY own.txt /only/
FROM tools
COPY own.txt /
FROM scratch
COPY --from=tools /etc/passwd /copied/
COPY --from=1 /own.txt /copied/
