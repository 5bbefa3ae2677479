ARG BASE
FROM $BASE
RUN echo o >/o
FROM $BASE
COPY --from=0 /o /n
