ARG BASE
FROM $BASE
VOLUME /a /b
VOLUME ["/c", "/d e"]
