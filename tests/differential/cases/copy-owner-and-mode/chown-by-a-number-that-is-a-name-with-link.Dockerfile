FROM scratch
COPY --link --chown=2147483648 a.txt /x
