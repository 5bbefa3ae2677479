ARG FULL
FROM $FULL
RUN echo $- >/tmp/flags
CMD x
