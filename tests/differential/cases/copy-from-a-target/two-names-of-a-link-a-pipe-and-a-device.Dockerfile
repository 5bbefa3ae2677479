# They are two files afterwards; those of a file stay one, in a mount too.
ARG BASE
FROM $BASE AS src
RUN mkdir /s /s/d && cd /s && ln -s f l && mkfifo p && mknod n c 1 3 && echo x >f && for i in l p n f; do ln $i $i-2; ln $i d/$i; done
RUN rm /s/f /s/d/p
FROM $BASE
COPY --from=src /s /t
COPY --from=src /s/d /s/p-2 /u/
RUN --mount=from=src,source=/s,target=/m cp -a /m /mounted
