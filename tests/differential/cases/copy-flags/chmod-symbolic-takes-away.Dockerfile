ARG BASE
FROM $BASE
COPY --chmod=go-rwx . /n/
