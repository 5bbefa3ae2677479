ARG BASE
FROM scratch AS a
ENV X=1
FROM $BASE
COPY --from=a / /n
