ARG BASE
FROM $BASE
ARG HTTP
ADD $HTTP/repo.git?ref=993118e8a8f1a58b37f30facbd48e3219bc75ae2&subdir=folder/deep /src
