"""What runs in a task's own namespaces: `main` enters them, `unpack` fills a directory from a tar, `execution` runs a
command with an OCI runtime (`oci_config`, `overlay`, `mount_points`, `accounts`), `upper` writes its changes as a tar.

Nothing here may import what a task need not load: a task is a new process each time."""
