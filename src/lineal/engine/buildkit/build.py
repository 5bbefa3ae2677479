"""One build: a command on its parent, watched while it runs, and the layer that it makes."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lineal.engine import Command, CommandFailed, NoWorkingDirectory, SecretMount
from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.blobs import SessionBlobs
from lineal.engine.buildkit.connect import unreachable
from lineal.engine.buildkit.grpc import UNKNOWN, Connection, ConnectionLost, RpcError, Stream, answer
from lineal.engine.buildkit.llb import Graph, Output
from lineal.engine.buildkit.mounts import Execution, layout
from lineal.engine.buildkit.oci_archive import OciArchive
from lineal.engine.buildkit.protocol import control_pb2, gateway_pb2, ops_pb2, status_pb2
from lineal.engine.buildkit.session import Session, received
from lineal.engine.docker.secret_parts import parts
from lineal.engine.log_lines import LogLines
from lineal.errors import BuildFailed, LinealError, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer
from lineal.store.registry.credentials import Credential

_CONTROL = "/moby.buildkit.v1.Control/"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
_EXIT = re.compile(r"exit code: (\d+)")
_LAST_WORDS = 5.0
"""Seconds in which the last lines of a command come after it ended."""


class Build:
    """One `run`, on a connection of its own. `cancel` may come from any thread."""

    def __init__(
        self, control: Connection, address: Address, store: Store, workspace: Path, check: Callable[[], None]
    ) -> None:
        self._control = control
        self._address = address
        self._store = store
        self._workspace = workspace
        self._check = check
        self._reference = secrets.token_hex(16)
        self._blobs = SessionBlobs(workspace, check)
        self._session = Session(self._login, self._blobs)

    def cancel(self) -> None:
        """End it on the daemon as well: that sees the connection go."""
        self._control.close()

    def run(self, parent: Image, command: Command, network: str, output: Callable[[str], None]) -> Layer:
        tunnel = None
        try:
            definition = self._definition(parent, command, network)
            with OciArchive(self._workspace, self._check) as archive:
                self._session.result(lambda stream: archive.take(_chunks(stream)))
                tunnel = self._session.serve(self._control)
                self._solve(definition, command, network, output)
                mounted = (mount.value for mount in command.mounts if isinstance(mount, SecretMount))
                hidden = {part for value in (*mounted, *command.secrets) for part in parts(value)}
                return archive.layer(tuple(hidden))
        except ConnectionLost as error:
            self._check()
            raise unreachable(self._address, error) from error
        finally:
            if tunnel is not None:
                tunnel.close()
            self._blobs.close()

    def _definition(self, parent: Image, command: Command, network: str) -> ops_pb2.Definition:
        whole = parent.config_json
        platform = {key: str(whole[key]) for key in ("architecture", "os", "variant") if whole.get(key)}
        graph = Graph(
            ops_pb2.Platform(
                Architecture=platform.get("architecture", ""), OS=platform.get("os", ""),
                Variant=platform.get("variant", ""),
            )
        )  # fmt: skip
        below = self._parent(graph, parent)
        execution = Execution(graph, self._session, self._blobs, platform, self._store.address)
        made = execution.add(command, below, network)
        result = made if below is None else graph.difference(below, made)
        return graph.definition(result)

    def _parent(self, graph: Graph, parent: Image) -> Output | None:
        if not parent.layers:
            return None
        return graph.image(*layout(self._blobs.image(parent, self._store), self._session))

    def _login(self, host: str) -> Credential | None:
        return None

    def _solve(
        self,
        definition: ops_pb2.Definition,
        command: Command,
        network: str,
        output: Callable[[str], None],
    ) -> dict[str, str]:
        request = control_pb2.SolveRequest(
            Ref=self._reference,
            Session=self._session.id,
            Exporters=[control_pb2.Exporter(Type="oci", Attrs={"compression": "uncompressed"})],
            Entitlements=["network.host"] if network == "host" else [],
            # It is in no history of the daemon.
            Internal=True,
        )
        solving = self._control.ask(_CONTROL + "Solve", request.SerializeToString())
        log = _Log(command, output)
        status = self._control.ask(_CONTROL + "Status", control_pb2.StatusRequest(Ref=self._reference).SerializeToString())
        watching = threading.Thread(target=log.follow, args=(status,), daemon=True)
        watching.start()
        try:
            self._evaluate(definition)
            return dict(control_pb2.SolveResponse.FromString(answer(solving)).ExporterResponse)
        except RpcError as error:
            self._check()
            # The daemon tells the rest of what the command printed, and ends the log with the build.
            watching.join(_LAST_WORDS)
            self._refuse(error, log)
            raise AssertionError from error
        finally:
            watching.join(_LAST_WORDS)
            status.cancel()
            solving.cancel()
            log.end()

    def _evaluate(self, definition: ops_pb2.Definition) -> None:
        """Make it, and say that it is the result."""
        request = gateway_pb2.SolveRequest(
            Definition=definition, allowResultReturn=True, allowResultArrayRef=True, Evaluate=True
        )
        try:
            made = gateway_pb2.SolveResponse.FromString(self._bridge("Solve", request.SerializeToString()))
        except RpcError as error:
            with suppress(RpcError):
                self._return(error=status_pb2.Status(code=error.code or UNKNOWN, message=error.message))
            raise
        self._return(result=made.result)

    def _return(self, **what: Any) -> None:
        self._bridge("Return", gateway_pb2.ReturnRequest(**what).SerializeToString())

    def _bridge(self, method: str, message: bytes) -> bytes:
        return self._control.call(_BRIDGE + method, message, [("buildkit-controlapi-buildid", self._reference)])

    def _refuse(self, error: RpcError, log: _Log) -> None:
        """Raise what a failed build means."""
        if isinstance(self._session.failure, LinealError):
            raise self._session.failure from error
        message = error.message
        if "exec format error" in message or log.wrong_machine:
            raise BuildFailed(_WRONG_MACHINE, id="LN-5007", remedy=_MACHINE_REMEDY) from error
        if "unable to find user" in message or "no matching entries in" in message or "unable to find group" in message:
            reason = message.rpartition(": ")[2]
            raise BuildFailed(
                f"The image has no such user: {reason}.", id="LN-5008",
                remedy="Create it in an earlier RUN, or use a number.",
            ) from error  # fmt: skip
        if found := _EXIT.search(message):
            raise CommandFailed(int(found[1])) from error
        if "not a directory" in message and ("mkdir" in message or "cwd" in message):
            raise NoWorkingDirectory from error
        raise Unreachable(
            f"The buildkitd at {self._address} could not do this RUN: {message}.", id="LN-5804"
        ) from error


_WRONG_MACHINE = "The engine cannot execute programs of this image: it is for another processor architecture."
_MACHINE_REMEDY = "Build for the engine's platform or install emulation (binfmt) on the engine's machine."


class _Log:
    """The lines that a command prints; nothing else of a build does."""

    def __init__(self, command: Command, output: Callable[[str], None]) -> None:
        self._lines = LogLines(command.secrets)
        self._output = output
        self.wrong_machine = False

    def follow(self, status: Stream) -> None:
        with suppress(RpcError, ConnectionLost):
            for message in status.messages():
                for log in control_pb2.StatusResponse.FromString(message).logs:
                    self._say(self._lines.add(log.stream, log.msg))

    def end(self) -> None:
        self._say(self._lines.rest())

    def _say(self, lines: Iterator[str]) -> None:
        for line in lines:
            if line.endswith("exec format error"):
                self.wrong_machine = True
            self._output(line)


def _chunks(stream: Stream) -> Iterator[bytes]:
    while data := received(stream):
        yield data
