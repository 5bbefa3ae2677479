ARG BASE
FROM $BASE
RUN mv /sp /moved
