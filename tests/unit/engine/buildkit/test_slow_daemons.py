"""A daemon that is slow to begin: a server that speaks as it does then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.engine import Command
from lineal.engine.buildkit.address import parse
from lineal.engine.buildkit.blobs import SessionBlobs
from lineal.engine.buildkit.failures import CommandLog
from lineal.engine.buildkit.grpc import UNKNOWN, Connection, RpcError, Stream
from lineal.engine.buildkit.llb import Graph
from lineal.engine.buildkit.protocol import control_pb2, ops_pb2
from lineal.engine.buildkit.session import Session
from lineal.engine.buildkit.solve import Solve
from lineal.engine.buildkit.transport import SocketTransport

SOLVE, BRIDGE = "/moby.buildkit.v1.Control/Solve", "/moby.buildkit.v1.frontend.LLBBridge/Solve"


class Slow:
    """Knows of the build only when it was asked for its parts `times`; `refused` says that there will be none."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.refused = threading.Event()
        ours, theirs = socket.socketpair()
        handlers = {SOLVE: self._solve, BRIDGE: self._bridge}
        self.server = Connection(SocketTransport(theirs), handlers=handlers)
        self.client = Connection(SocketTransport(ours))

    def _solve(self, stream: Stream) -> None:
        stream.receive()
        self.refused.wait(300)
        raise RpcError(UNKNOWN, "it is not allowed")

    def _bridge(self, stream: Stream) -> None:
        stream.receive()
        self.left -= 1
        if self.left >= 0:
            raise RpcError(UNKNOWN, "forwarding Solve: no such job abc")
        stream.send(b"made")


@pytest.fixture
def slow() -> Iterator[Slow]:
    daemon = Slow(3)
    yield daemon
    daemon.refused.set()
    daemon.client.close()


def build(slow: Slow, tmp_path: Path) -> Solve:
    command = Command(["true"], {}, "/", "")
    session = Session(lambda _: None, SessionBlobs(tmp_path, lambda: None))
    made = Solve(
        slow.client, parse("unix:///x", "test"), session, Graph(ops_pb2.Platform()), command,
        CommandLog(command, print), control_pb2.SolveRequest(), lambda: None, pushed=False,
    )  # fmt: skip
    made._solving = slow.client.ask(SOLVE, b"")
    return made


def test_it_is_asked_again_until_it_has_begun(slow: Slow, tmp_path: Path) -> None:
    assert build(slow, tmp_path)._bridge("Solve", b"") == b"made"
    assert slow.left == -1


def test_a_build_that_it_refuses_is_not_asked_for_any_more(slow: Slow, tmp_path: Path) -> None:
    slow.left = 10**9
    made = build(slow, tmp_path)
    slow.refused.set()
    with pytest.raises(RpcError, match="no such job"):
        made._bridge("Solve", b"")
