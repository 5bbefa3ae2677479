ARG BASE
FROM $BASE
WORKDIR /work
RUN --mount=type=secret,id=s,target=deep/s,mode=0440,gid=7 stat -c '%a %u:%g' /work/deep/s >/seen
