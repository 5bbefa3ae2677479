"""Shows what a deploy would change in the cluster, without any value of a Secret.

`preview` asks helm for both manifests, `diff` compares them, `masking` hides secrets in all their encodings."""
