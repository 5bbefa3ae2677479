"""Layers of `COPY`, `ADD`, `WORKDIR` and metadata, made without an engine from git objects or other stages' files.

`copy` decides like BuildKit what goes where, `layer_builder` writes it; `filesystem` is the index that a stage
carries of its directories, links and accounts, so that no layer of a parent has to be read; `stage_tree` (with
`selection`) reads files out of other stages, `archive` unpacks for `ADD`, `http_source` downloads for it."""
