"""Layers of `COPY`, `ADD`, `WORKDIR` and metadata, made without an engine from git objects or other stages' files.

`copy` decides like BuildKit what goes where, `layer_builder` writes it; `filesystem` is the index that a stage
carries of its directories, links and accounts, so that no layer of a parent has to be read. `unpacked_layer` is one
layer by itself, `layer_stack` several on top of each other, out of which `stage_tree` (with `selection`) reads the
files of other stages; `archive` unpacks for `ADD`, `http_source` downloads for it."""
