ARG BASE
FROM $BASE
RUN echo a \
# a comment
   >/a \

&& echo b >/b
