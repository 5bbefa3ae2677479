"""`RUN` without a daemon: an OCI runtime (runc or crun) on overlay mounts of this machine.

`engine` has the `Engine`, and `mounts` what it gives a command. `run_directory` is the place on the disk, where a
killed run leaves nothing that the next one does not sweep; `layers` are those that this run has unpacked or made;
`caches` the cache mounts, which stay. `tasks` starts what needs privileges as processes in namespaces of their own:
whatever they mount or start is gone with them, and they with us. `inside` is what runs there, `users` maps the users
of a rootless one, `agent` hands an SSH agent in, `failures` says what the runtime's words mean."""
