ARG BASE
FROM $BASE
COPY passwd /etc/passwd
COPY --chown=newuser a.txt /x
