ARG BASE
FROM $BASE
COPY --chmod=u=rwX,go=rX src /n
