ARG BASE
FROM $BASE
ARG HTTP
ADD --chmod=go-rx $HTTP/repo.git#993118e8a8f1a58b37f30facbd48e3219bc75ae2 /n/src
