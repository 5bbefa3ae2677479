ARG BASE
FROM $BASE AS a
COPY a.tar /
FROM $BASE
ADD --from=a /a.tar /n
