"""A chart with the digests of its images as one OCI artifact: published, installed, moved."""
