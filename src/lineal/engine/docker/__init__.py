"""RUN on a Docker Engine."""
