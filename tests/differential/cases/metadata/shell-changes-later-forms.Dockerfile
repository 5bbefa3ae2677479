ARG BASE
FROM $BASE
SHELL ["/bin/sh", "-ec"]
CMD echo x
ENTRYPOINT echo y
