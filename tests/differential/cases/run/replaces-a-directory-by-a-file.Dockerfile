ARG BASE
FROM $BASE
RUN rm -r /sp && echo x >/sp
