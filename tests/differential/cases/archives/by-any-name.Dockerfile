ARG BASE
FROM $BASE
ADD gzip-of-another-name /n
