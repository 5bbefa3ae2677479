ARG BASE
FROM $BASE
HEALTHCHECK --interval=0s --timeout= --retries=0 --start-interval=5ms CMD true
