ARG BASE
FROM $BASE
COPY d /home/app/
