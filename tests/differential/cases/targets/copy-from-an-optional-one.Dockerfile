ARG BASE
ARG EXTRA=0
FROM scratch AS extra-0
FROM $BASE AS extra-1
FROM extra-${EXTRA} AS extra
FROM $BASE
COPY --from=extra / /x/
