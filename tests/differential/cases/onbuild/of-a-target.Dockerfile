ARG BASE
FROM $BASE AS left
ONBUILD ARG V=1
ONBUILD ENV A=$V
ONBUILD COPY a.txt /left/
ONBUILD RUN echo "$A" >/left/run
FROM left
RUN cat /left/run >/own
