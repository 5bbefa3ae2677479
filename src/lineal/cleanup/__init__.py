"""Decides which stages of a store stay, and which are deleted.

`refs` plans the stages that branches and tags still need; `cluster_usage` and `bundle_usage` find the digests that
clusters and bundles name; `retention` decides about every checksum from all of these; `removal` deletes, on GitHub
by `github`."""
