ARG BASE
FROM scratch AS none
ENV A=1
FROM $BASE
COPY --from=none /a /opt/
