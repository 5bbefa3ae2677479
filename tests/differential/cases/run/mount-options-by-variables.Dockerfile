ARG BASE
FROM $BASE
ARG KIND=tmpfs WHERE=/here SIZE=1m
RUN --mount=type=$KIND,target=$WHERE,size=${SIZE} touch /here/x && ls / | grep here >/seen
