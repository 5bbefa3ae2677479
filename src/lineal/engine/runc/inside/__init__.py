"""What runs in a task's own namespaces: `main` enters them (`kernel`) and does what its orders say (`control`).

`unpack` fills a directory from a tar, `execution` runs a command with an OCI runtime (`oci_config`, `overlay`,
`places`, `accounts`), `upper` writes its changes as a tar, `remove` removes directories.

Nothing here may import what a task need not load: a task is a new process each time."""
