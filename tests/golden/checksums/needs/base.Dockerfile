FROM scratch
COPY base.Dockerfile /
ENV FROM_BASE=1
RUN one
