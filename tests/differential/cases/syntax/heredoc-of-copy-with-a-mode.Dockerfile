ARG BASE
FROM $BASE
COPY --chmod=755 --chown=app <<run /bin/
#!/bin/sh
run
