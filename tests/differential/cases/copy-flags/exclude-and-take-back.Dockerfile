ARG BASE
FROM $BASE
COPY --exclude=deep --exclude=!deep/more src /n/
