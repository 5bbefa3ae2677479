ARG BASE
FROM $BASE
COPY ["with space.txt", "/new dir/"]
