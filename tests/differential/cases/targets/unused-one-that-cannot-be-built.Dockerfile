ARG BASE
FROM nowhere.invalid/x AS broken
RUN false
FROM $BASE
