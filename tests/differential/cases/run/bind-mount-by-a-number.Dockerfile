ARG BASE
FROM $BASE
RUN true
FROM $BASE
RUN --mount=from=0,target=/in true
