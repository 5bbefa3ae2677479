ARG BASE
FROM $BASE
COPY --chmod=u+s,g+s,+t run.sh src /n/
