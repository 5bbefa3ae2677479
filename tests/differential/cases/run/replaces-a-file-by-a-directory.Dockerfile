ARG BASE
FROM $BASE
RUN rm /data/f && mkdir /data/f
