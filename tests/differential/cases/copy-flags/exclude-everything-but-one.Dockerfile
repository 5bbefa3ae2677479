ARG BASE
FROM $BASE
COPY --exclude=* --exclude=!one.txt src /n/
