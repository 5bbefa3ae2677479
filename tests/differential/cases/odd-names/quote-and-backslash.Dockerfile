ARG BASE
FROM $BASE
COPY ["q\"uote", "back\\\\slash*", "/x/"]
