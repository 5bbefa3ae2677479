ARG BASE
FROM $BASE
COPY --link a.txt /home/app/deep/
