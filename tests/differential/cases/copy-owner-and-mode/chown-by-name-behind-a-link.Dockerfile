ARG LINKED
FROM $LINKED
COPY --chown=5:6 a.txt /numbers-need-no-account
COPY --chown=app a.txt /x
