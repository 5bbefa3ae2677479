ARG BASE
FROM $BASE
COPY --chmod=600 links /x
