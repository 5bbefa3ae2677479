ARG BASE
FROM $BASE
RUN rm /etc/group
