ARG BASE
FROM $BASE
COPY --exclude=out [^x]c/.. /n/
