ARG BASE
FROM $BASE
ARG HTTP
ADD --unpack=true --chown=5:6 --checksum=sha256:49cfb889c88ea0e366c073a2ae23933957f7459578517d73d75a64e8ad61b234 $HTTP/a.tar.gz /n/
