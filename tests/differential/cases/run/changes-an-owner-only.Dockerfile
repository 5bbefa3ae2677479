ARG BASE
FROM $BASE
RUN chown app /etc/group
