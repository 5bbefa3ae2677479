ARG BASE
FROM $BASE
ARG T=/m S=d
RUN --mount=type=bind,source=$S,target=$T cp $T/one /one
