ARG BASE
FROM $BASE
ARG HTTP
ADD --exclude=folder $HTTP/repo.git#993118e8a8f1a58b37f30facbd48e3219bc75ae2 /src
