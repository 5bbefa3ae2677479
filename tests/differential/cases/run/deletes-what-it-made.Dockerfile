ARG BASE
FROM $BASE
RUN echo x >/x && rm /x
