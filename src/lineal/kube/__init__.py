"""Talks to the API server of a Kubernetes cluster.

`kubeconfig` reads which cluster is meant, `login` opens a connection with lightkube, `client` sends plain requests,
and `json_fields` reads their answers, in which any field may be missing or of another type."""
