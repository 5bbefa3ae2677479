"""Watching the workloads of a release until they are ready, and saying why they are not."""
