ARG BASE
FROM $BASE AS a
ARG N=a
FROM $BASE
ARG N=a
COPY --from=$N /etc/group /n
