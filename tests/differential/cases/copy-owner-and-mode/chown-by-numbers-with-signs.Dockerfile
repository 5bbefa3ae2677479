ARG BASE
FROM $BASE
COPY --chown=+7:-7 a.txt /x
COPY --link --chown=-1:007 a.txt /y
