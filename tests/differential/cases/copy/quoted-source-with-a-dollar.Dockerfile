ARG BASE
FROM $BASE
COPY ["cash\\$.txt", "/x/"]
