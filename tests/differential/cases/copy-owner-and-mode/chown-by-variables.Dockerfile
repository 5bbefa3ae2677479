ARG BASE
FROM $BASE
ARG U=app
ENV G=staff
COPY --chown=$U:${G} a.txt /x/
