"""What pytest must not look into: the cases are data, with whatever a Dockerfile's context can hold."""

collect_ignore = ["cases"]
