ARG BASE
FROM $BASE AS a
RUN echo a >/a
FROM $BASE
RUN echo b >/b
