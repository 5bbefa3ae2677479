"""What a deploy would change in the cluster, without a value of a Secret."""
