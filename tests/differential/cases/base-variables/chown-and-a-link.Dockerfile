ARG BASE
FROM $BASE
COPY --link --chown=${FROM_BASE:+5:6} a.txt /x
