"""Watches the workloads of a release until they are ready, and says why they are not.

`workload` reads the state of a Deployment, StatefulSet, DaemonSet or Job; `diagnosis` says why a pod does not start
and whether waiting can help; `observer` asks the API server for both; `monitor` polls the observer while helm waits,
shows progress, and tells helm to stop when waiting cannot help."""
