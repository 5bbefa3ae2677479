"""One build: a command on its parent, watched while it runs, and the layer that it makes."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lineal.engine import DEVICE, NETWORK_HOST, SECURITY_INSECURE, Command, PushedLayer, SecretMount
from lineal.engine.buildkit import listing
from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.blobs import SessionBlobs
from lineal.engine.buildkit.connect import lost
from lineal.engine.buildkit.failures import NO_JOB, CommandLog, refuse
from lineal.engine.buildkit.grpc import UNKNOWN, Connection, ConnectionLost, RpcError, Stream, answer
from lineal.engine.buildkit.kept import KeptTree
from lineal.engine.buildkit.llb import Graph, Output
from lineal.engine.buildkit.mounts import Execution, layout, made_beforehand
from lineal.engine.buildkit.oci_archive import OciArchive
from lineal.engine.buildkit.protocol import control_pb2, gateway_pb2, ops_pb2, status_pb2
from lineal.engine.buildkit.pushing import Target
from lineal.engine.buildkit.session import Session, received
from lineal.engine.secret_parts import parts
from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer

_CONTROL = "/moby.buildkit.v1.Control/"
_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
_LAST_WORDS = 5.0
"""Seconds in which the last lines of a command come after it ended."""
_PIECE = 4 << 20
"""Bytes of a file that are asked for at once; BuildKit sends at most 16 MiB in a message."""


class CannotReach(Exception):
    """The daemon does not get at the store; the reason is its own."""


class Build:
    """One `run`, on a connection of its own. `cancel` may come from any thread.

    `target` is the registry that the daemon itself reads and writes; None when blobs go through the session."""

    def __init__(
        self,
        control: Connection,
        address: Address,
        store: Store,
        target: Target | None,
        workspace: Path,
        check: Callable[[], None],
    ) -> None:
        self._control = control
        self._address = address
        self._store = store
        self._target = target
        self._workspace = workspace
        self._check = check
        self._reference = secrets.token_hex(16)
        self._solving: Stream | None = None
        self._blobs = SessionBlobs(workspace, check)
        self._session = Session(target.login if target else lambda _host: None, self._blobs)

    def cancel(self) -> None:
        """End it on the daemon as well: that sees the connection go."""
        self._control.close()

    def run(
        self, parent: Image, command: Command, network: str, output: Callable[[str], None],
        trees: Mapping[str, KeptTree],
    ) -> Layer | PushedLayer:  # fmt: skip
        """`trees` are the caches of the command that the run keeps by itself, by their targets. Raises what
        `Engine.run` raises, and `CannotReach`, before the command has begun."""
        platform = _fields(parent)
        graph = Graph(_platform(platform))
        try:
            below = self._parent(graph, parent)
            execution = Execution(graph, self._session, self._blobs, platform, self._store.address, trees)
            made = execution.add(command, below, network)
            layer = made if below is None else graph.difference(below, made)
            work = _Work(graph, made, layer, command, network, output)
            for tree, lower, number in execution.changed:
                work.changed.append((tree, graph.difference(lower, Output(made.digest, number))))
            # A layer in which no secret may be is looked through here, before it goes anywhere.
            mounted = [mount.value for mount in command.mounts if isinstance(mount, SecretMount)]
            hidden = {part for value in (*mounted, *command.secrets) for part in parts(value)}
            # So is one that is made of two.
            alone = not hidden and not made_beforehand(command) and not work.changed
            if self._target is not None and alone and listing.can_list(platform.get("architecture", "")):
                return self._pushed(work, self._target, platform["architecture"])
            return self._received(work, tuple(hidden))
        except ConnectionLost as error:
            self._check()
            raise lost(self._address, error) from error
        finally:
            self._blobs.close()

    def fetch(self, image: Image) -> None:
        """Have the daemon fetch and unpack an image. Raises `Unreachable`, which leaves nothing changed."""
        graph = Graph(_platform(_fields(image)))
        below = self._parent(graph, image)
        # It unpacks what something is to be done in.
        nothing = ops_pb2.FileActionRm(path="/.lineal-nothing", allowNotFound=True)
        touched = graph.file(below, [ops_pb2.FileAction(rm=nothing)])
        request = control_pb2.SolveRequest(
            Ref=self._reference, Session=self._session.id, Definition=graph.definition(touched), Internal=True
        )
        try:
            with self._session.serve(self._control):
                answer(self._control.ask(_CONTROL + "Solve", request.SerializeToString()))
        except ConnectionLost as error:
            self._check()
            raise lost(self._address, error) from error
        except RpcError as error:
            self._check()
            said = f"The buildkitd at {self._address} did not fetch an image: {error.message}"
            raise Unreachable(said, id="LN-5028") from error
        finally:
            self._blobs.close()

    def _parent(self, graph: Graph, parent: Image) -> Output | None:
        if not parent.layers:
            return None
        if self._target is None:
            return graph.image(*layout(self._blobs.image(parent, self._store), self._session))
        # The daemon makes equal sources one, and asks any of their sessions for a login: this one is for this alone.
        attributes = {"lineal.session": self._session.id}
        return graph.image(f"docker-image://{self._target.name}@{parent.manifest.digest}", attributes)

    # --- the two ways of a layer ---

    def _received(self, work: _Work, hidden: tuple[bytes, ...]) -> Layer:
        """Through the session: looked through and packed here."""
        exporter = control_pb2.Exporter(Type="oci", Attrs={"compression": "uncompressed"})
        with OciArchive(self._workspace, self._check) as archive:
            self._session.result(lambda stream: archive.take(_chunks(stream)))
            self._solve(work, exporter, lambda: self._all(work))
            for number, (tree, _) in enumerate(work.changed, 1):
                for digest, path in archive.claim(number):
                    tree.changed(digest, path)
            made = (os.fsencode(one.path.strip("/")) for one in made_beforehand(work.command))
            return archive.layer(hidden, frozenset(made), work.command.options.epoch)

    def _all(self, work: _Work) -> gateway_pb2.Result:
        """The layer, and beside it what was changed in caches: as images for platforms that there are not, for an
        exporter has nothing else to tell several apart by."""
        layer = self._make(work, work.layer)
        if not work.changed:
            return layer
        refs = [layer.ref, *(self._make(work, output).ref for _, output in work.changed)]
        named = [
            {"ID": str(number), "Platform": {"architecture": "amd64", "os": "linux", "variant": str(number)}}
            for number in range(len(refs))
        ]
        return gateway_pb2.Result(
            refs=gateway_pb2.RefMap(refs={str(number): ref for number, ref in enumerate(refs)}),
            metadata={"refs.platforms": json.dumps({"Platforms": named}).encode()},
        )

    def _pushed(self, work: _Work, target: Target, architecture: str) -> PushedLayer:
        """From the daemon to the store."""
        listed = listing.add(work.graph, work.made, architecture)
        trees = []

        def make() -> gateway_pb2.Result:
            self._make(work, work.made)
            work.log.ended = True
            found = self._make(work, listed)
            trees.append(listing.parse(self._read(found.ref.id, listing.FILE)))
            return self._make(work, work.layer)

        response = self._solve(work, target.exporter(work.command.options.epoch), make)
        return target.pushed(response, trees[0])

    # --- the daemon's calls ---

    def _solve(
        self, work: _Work, exporter: control_pb2.Exporter, make: Callable[[], gateway_pb2.Result]
    ) -> dict[str, str]:
        request = control_pb2.SolveRequest(
            Ref=self._reference,
            Session=self._session.id,
            Exporters=[exporter],
            Entitlements=work.entitlements,
            # It is in no history of the daemon.
            Internal=True,
        )
        log = work.log
        with self._session.serve(self._control):
            self._solving = solving = self._control.ask(_CONTROL + "Solve", request.SerializeToString())
            watched = control_pb2.StatusRequest(Ref=self._reference).SerializeToString()
            status = self._control.ask(_CONTROL + "Status", watched)
            watching = threading.Thread(target=log.follow, args=(status,), daemon=True)
            watching.start()
            try:
                self._return(make)
                return dict(control_pb2.SolveResponse.FromString(answer(solving)).ExporterResponse)
            except RpcError as error:
                error = _reason(solving, error)
                self._check()
                # The daemon tells the rest of what the command printed, and ends the log with the build.
                watching.join(_LAST_WORDS)
                failure = refuse(error, self._address, work.command, log, self._session.failure)
                # Nothing that the command or its image explains, and the parent was the first to be asked for.
                if self._target is not None and not log.began and type(failure) is Unreachable:
                    raise CannotReach(error.message) from error
                raise failure from error
            finally:
                watching.join(_LAST_WORDS)
                status.cancel()
                solving.cancel()
                log.end()

    def _return(self, make: Callable[[], gateway_pb2.Result]) -> None:
        """Say what the result is, or that there is none: either ends the build."""
        try:
            made = make()
        except RpcError as error:
            with suppress(RpcError):
                self._say(error=status_pb2.Status(code=error.code or UNKNOWN, message=error.message))
            raise
        self._say(result=made)

    def _say(self, **what: Any) -> None:
        self._bridge("Return", gateway_pb2.ReturnRequest(**what).SerializeToString())

    def _make(self, work: _Work, output: Output) -> gateway_pb2.Result:
        request = gateway_pb2.SolveRequest(
            Definition=work.graph.definition(output), allowResultReturn=True, allowResultArrayRef=True, Evaluate=True
        )
        return gateway_pb2.SolveResponse.FromString(self._bridge("Solve", request.SerializeToString())).result

    def _read(self, reference: str, path: str) -> bytes:
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

    def _bridge(self, method: str, message: bytes) -> bytes:
        """One call that belongs to the build. The daemon waits 3 seconds for the build to begin, which is too short
        where it is busy: it is asked again as long as it has not said that there will be none."""
        ours = [("buildkit-controlapi-buildid", self._reference)]
        while True:
            try:
                return self._control.call(_BRIDGE + method, message, ours)
            except RpcError as error:
                if NO_JOB not in error.message or self._solving is None or self._solving.ended:
                    raise
                self._check()


class _Work:
    """What one build is to make."""

    def __init__(
        self,
        graph: Graph,
        made: Output,
        layer: Output,
        command: Command,
        network: str,
        output: Callable[[str], None],
    ) -> None:
        self.graph = graph
        self.made = made
        """The parent after the command ..."""
        self.layer = layer
        """... and what it added."""
        self.command = command
        asked = {
            NETWORK_HOST: network == "host", SECURITY_INSECURE: command.insecure, DEVICE: bool(command.devices),
        }  # fmt: skip
        self.entitlements = [name for name, wanted in asked.items() if wanted]
        """What the daemon must be configured to grant."""
        self.log = CommandLog(command, output)
        self.changed: list[tuple[KeptTree, Output]] = []
        """Caches that the run keeps by itself, and what the command changed there."""


def _reason(solving: Stream, error: RpcError) -> RpcError:
    """The reason of a build that the daemon did not even begin: the parts of it fail in a way of their own."""
    if NO_JOB in error.message:
        try:
            answer(solving)
        except RpcError as reason:
            return reason
    return error


def _fields(image: Image) -> dict[str, str]:
    whole = image.config_json
    return {key: str(whole[key]) for key in ("architecture", "os", "variant") if whole.get(key)}


def _platform(fields: dict[str, str]) -> ops_pb2.Platform:
    return ops_pb2.Platform(
        Architecture=fields.get("architecture", ""), OS=fields.get("os", ""), Variant=fields.get("variant", "")
    )


def _chunks(stream: Stream) -> Iterator[bytes]:
    while data := received(stream):
        yield data
