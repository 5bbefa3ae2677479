ARG BASE
FROM $BASE
COPY --parents a.txt lib/x/y/z.txt src/deep /n/
