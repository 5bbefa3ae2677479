FROM scratch
COPY a.txt /
USER app
WORKDIR /
WORKDIR ..
