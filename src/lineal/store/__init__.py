"""Where published stages live: repositories of a registry, or a directory in the OCI Image Layout format.

`open` gives the store that an address means; `record` and `tags` say what a stage looks like in it; `copy` brings an
image from one store to another; `read_through` keeps the writes of a run that may not publish; `gc` frees what no tag
leads to. Each store is a `lineal.oci.Store`, and callers need no more than that."""
