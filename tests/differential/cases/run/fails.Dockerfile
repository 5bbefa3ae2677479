ARG BASE
FROM $BASE
RUN echo so; exit 3
