"""`RUN` on BuildKit: any buildkitd, near or far, one build for each command.

BuildKit speaks gRPC, and so does its client: over one call, `Control.Session`, the daemon asks the client for
secrets, logins and files, as a gRPC client inside that call's bytes. The base is `h2` (HTTP/2 as a pure state
machine, from the makers of httpx's HTTP/2) with `protobuf`: `grpcio` is 7 MB, and its Python server can serve only
sockets that it listens on, so that a session would need a socket of its own and two threads that copy. With `h2`
both directions are one class (`grpc`), over any bytes: a socket, TLS, what a program in a container reads and writes.
`h2` comes with what locks in clusters need, `protobuf` is 0.3 MB; neither is imported before the first `RUN`.

A layer comes in one of two ways. Where the store is a registry that the daemon reaches, the daemon pushes it, and
lists what the image has become (`listing`). It shows the layer before it pushes (`content`), so that the next command
goes on there meanwhile: of an image of which the daemon lacks nothing, the registry is not asked for anything. Where
the store is something else, or a secret must be looked for in the layer, or the layer is made of two, it comes
through the session and is packed here (`oci_archive`)."""
