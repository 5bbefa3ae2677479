ARG BASE
FROM $BASE
ENV A=1#2 B="# no"
RUN echo a # b >/x
