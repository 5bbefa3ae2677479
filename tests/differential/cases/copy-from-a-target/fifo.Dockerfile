ARG BASE
FROM $BASE
RUN mkfifo -m 640 /p
FROM $BASE
COPY --from=0 /p /n/
