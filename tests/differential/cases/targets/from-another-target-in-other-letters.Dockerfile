ARG BASE
FROM $BASE AS Build
COPY a.txt /a
FROM build
COPY --from=BUILD /a /b
