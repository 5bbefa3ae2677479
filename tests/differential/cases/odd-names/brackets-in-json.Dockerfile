ARG BASE
FROM $BASE
COPY ["[[]a]", "/x/"]
