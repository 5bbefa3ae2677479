"""What a run would meet: its project, its store, its engine, its history, its cluster, each asked and left as it is.

`finding` is what is found; `examine` asks one thing after the other; `store`, `machine` and `cluster` know how."""
