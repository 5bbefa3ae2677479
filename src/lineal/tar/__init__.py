"""Tar archives: the one place that reads and writes their bytes.

`header` knows one entry's bytes, `reader` reads archives that others made (all of them hostile), `writer` makes
deterministic ones, `layer` hashes and compresses what becomes an image's layer, `raw` takes over what an engine sends
entry by entry, `compression` unpacks streams, `spool` keeps contents on disk until they are needed."""
