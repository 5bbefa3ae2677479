ARG BASE
FROM $BASE
USER 4321
RUN id >/tmp/id; echo $HOME >/tmp/home
