ARG BASE
FROM $BASE
ARG HTTP
ADD --chmod=u+x,go+r --chown=app --checksum=sha256:67948dd9afd6afe5043b0029d5aa7cf0f8b2824baf16f4f097d40d830edb686d $HTTP/tool.txt /n/
