ARG BASE
FROM $BASE
COPY --exclude=/one.txt src /n/
