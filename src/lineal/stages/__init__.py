"""The heart: which published stages a commit may use, and how a run publishes a new one.

`lookup` asks the store for candidates, `eligibility` says which of them the run may use, `plan` is the answer for all
images of a run, `publish` writes a stage so that all runs agree on one winner. Nothing here knows Dockerfiles,
engines or CI systems beyond the `Stage` of dockerfile/; stores, locks and history are protocols."""
