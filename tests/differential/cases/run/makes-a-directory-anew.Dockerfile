ARG BASE
FROM $BASE
RUN rm -r /sp && mkdir /sp && echo x >/sp/x
