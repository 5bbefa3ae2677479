ARG BASE
FROM $BASE AS left
ONBUILD COPY --from=tool /tool /tool
FROM $BASE AS tool
RUN echo tool >/tool
FROM left
