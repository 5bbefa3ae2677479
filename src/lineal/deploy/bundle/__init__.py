"""A bundle: a chart with the digests of its images as one OCI artifact.

`bundle` is its documents, `registry` puts and finds them, `publish` makes a bundle of a commit, `install` makes a
release of a bundle. `copy` takes it and its images elsewhere, where `relocate` rewrites its values; `nulls` settles
what the values take away from subcharts."""
