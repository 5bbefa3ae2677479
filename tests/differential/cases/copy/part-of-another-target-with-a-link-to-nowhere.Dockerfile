ARG BASE
FROM $BASE AS s
FROM scratch
COPY --from=s --exclude=* --exclude=!dang / /n/
