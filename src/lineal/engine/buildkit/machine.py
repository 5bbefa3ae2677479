"""The machine of a buildkitd, as the daemon describes it."""

from __future__ import annotations

from lineal.engine.buildkit.grpc import Connection
from lineal.engine.buildkit.protocol import control_pb2
from lineal.engine.machine import Machine
from lineal.oci.platform import named

_LIST = "/moby.buildkit.v1.Control/ListWorkers"


def machine_of(connection: Connection) -> Machine | None:
    """None when it does not say."""
    found = platforms_of(connection)
    return Machine(found[0], lambda: found) if found else None


def platforms_of(connection: Connection) -> tuple[str, ...]:
    """The platforms that it executes, its own first."""
    answer = control_pb2.ListWorkersResponse.FromString(connection.call(_LIST, b""))
    listed = [
        named({"os": one.OS, "architecture": one.Architecture, "variant": one.Variant})
        for worker in answer.record
        for one in worker.platforms
    ]
    return tuple(dict.fromkeys(one for one in listed if one is not None))
