ARG BASE
FROM $BASE AS a
RUN mkdir /o && echo o >/o/o
FROM $BASE
RUN --mount=from=a,source=/o,target=/m cp /m/o /o
