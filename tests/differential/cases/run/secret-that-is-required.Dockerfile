ARG BASE
FROM $BASE
RUN --mount=type=secret,id=absent,required true
