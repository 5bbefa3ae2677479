ARG BASE
FROM $BASE
RUN --mount=type=secret,id=s stat -c '%a %u %g' /run/secrets/s >/s; wc -c </run/secrets/s >/n
