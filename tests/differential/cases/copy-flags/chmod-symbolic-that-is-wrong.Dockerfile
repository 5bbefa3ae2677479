ARG BASE
FROM $BASE
COPY --chmod=u=rwz a.txt /n
