ARG BASE
FROM $BASE
COPY --link --chown=${FROM_BASE:+app} a.txt /x
