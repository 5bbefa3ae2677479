ARG BASE
FROM $BASE
ENV P=one.txt
COPY --exclude=$P src /n/
