ARG X
RUN true
