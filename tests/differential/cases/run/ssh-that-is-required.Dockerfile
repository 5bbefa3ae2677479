ARG BASE
FROM $BASE
RUN --mount=type=ssh,required true
