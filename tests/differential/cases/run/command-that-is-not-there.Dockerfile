ARG BASE
FROM $BASE
RUN no-such-command
