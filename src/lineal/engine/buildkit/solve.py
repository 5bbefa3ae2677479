"""One build on a daemon, from its beginning to its end: what is asked of it meanwhile, and what a failure means."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from lineal.engine import Command
from lineal.engine.buildkit import listing
from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.failures import NO_JOB, CommandLog, refuse
from lineal.engine.buildkit.grpc import UNKNOWN, Connection, RpcError, answer
from lineal.engine.buildkit.llb import Graph, Output
from lineal.engine.buildkit.protocol import control_pb2, gateway_pb2, status_pb2
from lineal.engine.buildkit.session import Session
from lineal.errors import Unreachable

CONTROL = "/moby.buildkit.v1.Control/"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
_LAST_WORDS = 5.0
"""Seconds in which the last lines of a command come after it ended."""
_PIECE = 4 << 20
"""Bytes of a file that are asked for at once; BuildKit sends at most 16 MiB in a message."""


class CannotReach(Exception):
    """The daemon does not get at the store; the reason is its own."""


class Solve:
    """It goes on while this is a context. What fails is raised as `refuse` says, or as `CannotReach`: that before the
    command has begun, of a build that is to be `pushed`."""

    def __init__(
        self, control: Connection, address: Address, session: Session, graph: Graph, command: Command,
        log: CommandLog, request: control_pb2.SolveRequest, check: Callable[[], None], *, pushed: bool,
    ) -> None:  # fmt: skip
        self.log = log
        self._control, self._address, self._session = control, address, session
        self._graph, self._command, self._check, self._pushed = graph, command, check, pushed
        self._request = request
        # It is in no history of the daemon.
        request.Ref, request.Session, request.Internal = secrets.token_hex(16), session.id, True
        self._open = ExitStack()

    def __enter__(self) -> Solve:
        with ExitStack() as opened:
            opened.enter_context(self._session.serve(self._control))
            self._solving = self._control.ask(CONTROL + "Solve", self._request.SerializeToString())
            opened.callback(self._solving.cancel)
            watched = control_pb2.StatusRequest(Ref=self._request.Ref).SerializeToString()
            status = self._control.ask(CONTROL + "Status", watched)
            self._watching = threading.Thread(target=self.log.follow, args=(status,), daemon=True)
            self._watching.start()
            opened.callback(self.log.end)
            opened.callback(status.cancel)
            opened.callback(self._watching.join, _LAST_WORDS)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def done(self, make: Callable[[], gateway_pb2.Result]) -> None:
        """Say what the result is, or that there is none: either ends the build, but for what the daemon does with
        the result."""
        with self._explained():
            try:
                made = make()
            except RpcError as error:
                with suppress(RpcError):
                    self._say(error=status_pb2.Status(code=error.code or UNKNOWN, message=error.message))
                raise
            self._say(result=made)

    def response(self) -> dict[str, str]:
        """Wait for the end of all, once."""
        with self._explained():
            return dict(control_pb2.SolveResponse.FromString(answer(self._solving)).ExporterResponse)

    def make(self, output: Output) -> gateway_pb2.Result:
        request = gateway_pb2.SolveRequest(
            Definition=self._graph.definition(output), allowResultReturn=True, allowResultArrayRef=True, Evaluate=True
        )
        return gateway_pb2.SolveResponse.FromString(self._bridge("Solve", request.SerializeToString())).result

    def read(self, reference: str, path: str) -> bytes:
        """A file of a result."""
        data = bytearray()
        while len(data) < listing.LARGEST:
            request = gateway_pb2.ReadFileRequest(
                Ref=reference, FilePath=path, Range=gateway_pb2.FileRange(Offset=len(data), Length=_PIECE)
            )
            piece = gateway_pb2.ReadFileResponse.FromString(
                self._bridge("ReadFile", request.SerializeToString())
            ).Data
            data += piece
            if len(piece) < _PIECE:
                break
        return bytes(data)

    def _say(self, **what: Any) -> None:
        self._bridge("Return", gateway_pb2.ReturnRequest(**what).SerializeToString())

    def _bridge(self, method: str, message: bytes) -> bytes:
        """One call that belongs to the build. The daemon waits 3 seconds for the build to begin, which is too short
        where it is busy: it is asked again as long as it has not said that there will be none."""
        ours = [("buildkit-controlapi-buildid", self._request.Ref)]
        while True:
            try:
                return self._control.call(_BRIDGE + method, message, ours)
            except RpcError as error:
                if NO_JOB not in error.message or self._solving.ended:
                    raise
                self._check()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RpcError as error:
            error = self._reason(error)
            self._check()
            # The daemon tells the rest of what the command printed, and ends the log with the build.
            self._watching.join(_LAST_WORDS)
            failure = refuse(error, self._address, self._command, self.log, self._session.failure)
            # Nothing that the command or its image explains, and the parent was the first to be asked for.
            if self._pushed and not self.log.began and type(failure) is Unreachable:
                raise CannotReach(error.message) from error
            raise failure from error

    def _reason(self, error: RpcError) -> RpcError:
        """The reason of a build that the daemon did not even begin: the parts of it fail in a way of their own."""
        if NO_JOB in error.message:
            try:
                answer(self._solving)
            except RpcError as reason:
                return reason
        return error
