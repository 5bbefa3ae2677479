ARG BASE
FROM $BASE
COPY --link <<x /tmp/
text
x
