ARG BASE
FROM $BASE
RUN echo more >>/capable
