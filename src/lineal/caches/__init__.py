"""Cache mounts that outlive the runner: snapshots of them in the store, found along history like stages.

`snapshot` is what a cache held, as a value and as bytes; `writer` makes one from a tar (`chunks` cuts large files,
`packs` compresses and sends), `reader` makes a tar or frames from one. `key` names a cache, `publication` is its
snapshot in the store, `history` finds the one to begin with. `run` has the caches of one run, each a `cache`; `times`
are those of restored files. Engines know none of this: they get a tar or frames to begin with, and give a tar of what
the command left."""
