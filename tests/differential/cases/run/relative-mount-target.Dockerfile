ARG BASE
FROM $BASE
WORKDIR /w
RUN --mount=target=m cp m/a.txt /x
