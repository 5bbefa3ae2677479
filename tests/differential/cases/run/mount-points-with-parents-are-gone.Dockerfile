ARG BASE
FROM $BASE
RUN --mount=type=tmpfs,target=/new/deep/t --mount=type=tmpfs,target=/other/t touch /other/kept
