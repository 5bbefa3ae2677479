ARG BASE
FROM $BASE
COPY --parents a.txt/./x /n/
