# That of this Dockerfile excludes everything, and only of the context.
FROM scratch
COPY --from=more . /more/
