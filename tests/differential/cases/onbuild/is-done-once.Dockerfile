ARG BASE
FROM $BASE AS left
ONBUILD RUN echo x >>/times
FROM left AS used
RUN true
FROM used
RUN true
