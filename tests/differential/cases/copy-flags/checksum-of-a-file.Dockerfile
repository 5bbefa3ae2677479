ARG BASE
FROM $BASE
ADD --checksum=sha256:0 a.txt /n
