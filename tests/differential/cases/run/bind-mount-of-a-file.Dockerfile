ARG BASE
FROM $BASE
RUN --mount=type=bind,source=a.txt,target=/x/a.txt cat /x/a.txt >/y
