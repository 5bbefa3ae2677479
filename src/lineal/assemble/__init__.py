"""Layers without an engine: what `COPY`, `ADD` and `WORKDIR` do to an image, file by file like BuildKit."""
