ARG LINKED
FROM $LINKED
COPY --chown=5:6 a.txt /etc/x
