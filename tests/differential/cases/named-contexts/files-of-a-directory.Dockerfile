# The directory's own .dockerignore counts, as COPY . shows.
ARG BASE
FROM $BASE
COPY --from=assets a.txt run /named/
COPY --from=assets . /all/
COPY --from=assets --chown=1:2 --chmod=640 deep/*.js /flags/
COPY --from=assets --exclude=*.css deep /excluded/
COPY --from=assets --parents ./deep/x.js /parents/
COPY --from=assets --link / /linked/
