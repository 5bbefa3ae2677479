ARG BASE
FROM $BASE
COPY --chmod=g=u,o= run.sh a.txt /n/
