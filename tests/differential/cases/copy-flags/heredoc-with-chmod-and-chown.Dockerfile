ARG BASE
FROM $BASE
COPY --chmod=u+x --chown=app <<run /n/run
#!/bin/sh
run
