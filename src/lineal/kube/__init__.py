"""The Kubernetes cluster: how it is reached, and plain requests to its API server."""
