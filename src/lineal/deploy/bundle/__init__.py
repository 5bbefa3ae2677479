"""A bundle: a chart with the digests of its images as one OCI artifact.

`bundle` is its documents, `registry` puts and finds them, `publish` makes a bundle of a commit, `install` makes a
release of a bundle, and `relocate` rewrites its values when its images are copied elsewhere."""
