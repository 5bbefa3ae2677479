"""`RUN` on a Docker Engine, on this machine or another: nothing of this machine is mounted, all goes through its API.

`engine` runs a command from the parent image to the layer; `image_loader` brings images there, `mounts` (with
`cache_mounts`, `container_files` and `ssh_forward`) what the command sees, `container_diff` takes its
changes back. `resources` removes what a run made, `orphans` what killed runs left, which `process_identity` tells."""
