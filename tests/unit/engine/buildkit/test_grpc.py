"""A connection between two of our own sides, over a pair of sockets."""

from __future__ import annotations

import socket
import threading

import pytest

from lineal.engine.buildkit import grpc
from lineal.engine.buildkit.grpc import UNKNOWN, Connection, ConnectionLost, RpcError, Stream, unary
from lineal.engine.buildkit.transport import SocketTransport


def test_a_side_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "_QUIET", 0.2)
    ours, theirs = socket.socketpair()
    with theirs, Connection(SocketTransport(ours)) as connection:
        # More than fits into any buffer: whoever sends waits, and must not keep the connection from ending.
        with pytest.raises(ConnectionLost, match="nothing came from it for 0 seconds"):
            connection.call("/x", bytes(60_000))
        with pytest.raises(ConnectionLost):
            connection.call("/x", b"")


def test_a_side_that_takes_nothing_keeps_nobody_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "_FAREWELL", 0.2)
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with theirs:
        connection = Connection(SocketTransport(ours))
        failed: list[Exception] = []

        def call() -> None:
            try:
                connection.call("/x", bytes(60_000))
            except ConnectionLost as error:
                failed.append(error)

        sending = threading.Thread(target=call)
        sending.start()
        while connection.changed.acquire(blocking=False):
            connection.changed.release()
        connection.close()
        sending.join(30)
        assert failed


def test_a_slow_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc, "_QUIET", 1.0)
    ours, theirs = socket.socketpair()
    late = threading.Event()

    def serve(stream: Stream) -> None:
        late.wait(3.5)
        unary(lambda message: message + b"!")(stream)

    with (
        Connection(SocketTransport(theirs), handlers={"/x": serve}),
        Connection(SocketTransport(ours)) as connection,
    ):
        assert connection.call("/x", b"hi") == b"hi!"


def test_an_answer_may_come_before_the_question_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    half_close = Stream.half_close

    def late(stream: Stream) -> None:
        with stream._connection.changed:
            stream._connection.changed.wait_for(lambda: stream.ended, 60)
        half_close(stream)

    def refuse(stream: Stream) -> None:
        raise RpcError(UNKNOWN, "not here")

    ours, theirs = socket.socketpair()
    handlers = {"/x": unary(lambda message: message + b"!"), "/y": refuse}
    with Connection(SocketTransport(theirs), handlers=handlers), Connection(SocketTransport(ours)) as connection:
        monkeypatch.setattr(Stream, "half_close", late)
        assert connection.call("/x", b"hi") == b"hi!"
        with pytest.raises(RpcError, match="not here"):
            connection.call("/y", b"hi")


class Failing:
    """A program that takes so many messages, says why it fails, and ends."""

    def __init__(self, takes: int, answers: int = 0) -> None:
        self.takes, self.ended = takes, threading.Event()
        self.answers = [SETTINGS] * answers

    def send(self, data: bytes) -> None:
        self.takes -= 1
        if self.takes < 0:
            self.ended.set()
            raise BrokenPipeError("Broken pipe")

    def receive(self) -> bytes:
        if self.answers:
            return self.answers.pop()
        assert self.ended.wait(60)
        raise OSError("no daemon is here")

    def close(self) -> None:
        pass


SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A frame that is acknowledged by the reader."""


@pytest.mark.parametrize("answers", [0, 1])
@pytest.mark.parametrize("takes", [0, 1, 2, 3])
def test_the_reason_is_what_was_said_and_not_the_broken_pipe(takes: int, answers: int) -> None:
    for _ in range(20):
        with pytest.raises(ConnectionLost, match="no daemon is here"):
            Connection(Failing(takes, answers)).call("/x", b"hi")
