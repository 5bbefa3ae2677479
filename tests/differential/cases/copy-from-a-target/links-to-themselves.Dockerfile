ARG BASE
FROM $BASE AS src
RUN mkdir -p /s/d && echo x >/s/d/f
RUN cd /s && rm -r d && ln -s d d && ln -s ./here here
FROM $BASE
COPY --from=src /s /t
COPY --from=src / /all/
