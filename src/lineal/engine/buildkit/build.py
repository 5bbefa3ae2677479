"""One build: a command on its parent, watched while it runs, and the layer that it makes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from lineal.engine import DEVICE, NETWORK_HOST, SECURITY_INSECURE, Command, SecretMount, Tree
from lineal.engine.buildkit import content, listing
from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.blobs import SessionBlobs
from lineal.engine.buildkit.connect import lost
from lineal.engine.buildkit.failures import CommandLog
from lineal.engine.buildkit.grpc import Connection, ConnectionLost, RpcError, Stream, answer
from lineal.engine.buildkit.kept import KeptTree
from lineal.engine.buildkit.llb import Graph, Output
from lineal.engine.buildkit.mounts import Execution, layout, made_beforehand
from lineal.engine.buildkit.oci_archive import OciArchive
from lineal.engine.buildkit.protocol import control_pb2, gateway_pb2, ops_pb2
from lineal.engine.buildkit.pushing import Pushing, Target, layer_of
from lineal.engine.buildkit.session import Session, received
from lineal.engine.buildkit.solve import CONTROL, Solve
from lineal.engine.secret_parts import parts
from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer


class Build:
    """One `run`, on a connection of its own. `cancel` may come from any thread.

    `target` is the registry that the daemon itself reads and writes; None when blobs go through the session.
    Where it is `reached`, an image of which the daemon lacks nothing is not asked for there."""

    def __init__(
        self, control: Connection, address: Address, store: Store, target: Target | None, workspace: Path,
        check: Callable[[], None], *, reached: bool = False,
    ) -> None:  # fmt: skip
        self._control = control
        self._address = address
        self._store = store
        self._target = target
        self._workspace = workspace
        self._check = check
        self.reached = reached
        """Whether the daemon is known to get at the target, after `run` or `fetch`."""
        self._blobs = SessionBlobs(workspace, check)
        self._session = Session(target.login if target else lambda _host: None, self._blobs)
        self._rest = ExitStack()
        self._pushed_image: Callable[[], str]

    def cancel(self) -> None:
        """End it on the daemon as well: that sees the connection go."""
        self._control.close()

    def run(
        self, parent: Image, command: Command, network: str, output: Callable[[str], None],
        trees: Mapping[str, KeptTree],
    ) -> Layer | Pushing:  # fmt: skip
        """`trees` are the caches of the command that the run keeps by itself, by their targets. A layer that is being
        pushed is in the store after `finish`. Raises what `Engine.run` raises, and `CannotReach`, before the command
        has begun."""
        with ExitStack() as opened, self._connected():
            opened.callback(self._blobs.close)
            work = self._work(parent, command, network, output, trees)
            # A layer in which no secret may be is looked through here, before it goes anywhere.
            mounted = [mount.value for mount in command.mounts if isinstance(mount, SecretMount)]
            hidden = {part for value in (*mounted, *command.secrets) for part in parts(value)}
            # So is one that is made of two.
            alone = not hidden and not made_beforehand(command) and not work.changed
            architecture = _fields(parent).get("architecture", "")
            if self._target is None or not alone or not listing.can_list(architecture):
                return self._received(work, tuple(hidden))
            pushing = self._pushed(opened, work, self._target, architecture)
            # The parent came from there.
            self.reached |= bool(parent.layers)
            self._rest = opened.pop_all()
            return pushing

    def finish(self) -> str:
        """Wait until the layer is in the store. Returns the digest of the image that the daemon pushed with it."""
        with self._rest, self._connected():
            return self._pushed_image()

    def fetch(self, image: Image) -> None:
        """Have the daemon fetch and unpack an image. Raises `Unreachable`, which leaves nothing changed."""
        graph = Graph(_platform(_fields(image)))
        try:
            with self._connected(), self._session.serve(self._control):
                below = self._parent(graph, image)
                # It unpacks what something is to be done in.
                nothing = ops_pb2.FileActionRm(path="/.lineal-nothing", allowNotFound=True)
                touched = graph.file(below, [ops_pb2.FileAction(rm=nothing)])
                request = control_pb2.SolveRequest(
                    Ref=self._session.id,
                    Session=self._session.id,
                    Definition=graph.definition(touched),
                    Internal=True,
                )
                answer(self._control.ask(CONTROL + "Solve", request.SerializeToString()))
            self.reached |= self._target is not None
        except RpcError as error:
            self._check()
            said = f"The buildkitd at {self._address} did not fetch an image: {error.message}"
            raise Unreachable(said, id="LN-5028") from error
        finally:
            self._blobs.close()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except ConnectionLost as error:
            self._check()
            raise lost(self._address, error) from error

    def _work(
        self, parent: Image, command: Command, network: str, output: Callable[[str], None],
        trees: Mapping[str, KeptTree],
    ) -> _Work:  # fmt: skip
        platform = _fields(parent)
        graph = Graph(_platform(platform))
        below = self._parent(graph, parent)
        execution = Execution(graph, self._session, self._blobs, platform, self._store.address, trees)
        made = execution.add(command, below, network)
        layer = made if below is None else graph.difference(below, made)
        work = _Work(graph, made, layer, command, network, output)
        for tree, lower, number in execution.changed:
            work.changed.append((tree, graph.difference(lower, Output(made.digest, number))))
        return work

    def _parent(self, graph: Graph, parent: Image) -> Output | None:
        if not parent.layers:
            return None
        if self._target is None or (self.reached and self._lacks_nothing(parent)):
            return graph.image(*layout(self._blobs.image(parent, self._store), self._session))
        self._store.arrived(parent)
        # The daemon makes equal sources one, and asks any of their sessions for a login: this one is for this alone.
        attributes = {"lineal.session": self._session.id}
        return graph.image(f"docker-image://{self._target.name}@{parent.manifest.digest}", attributes)

    def _lacks_nothing(self, image: Image) -> bool:
        """Whether the daemon has, or gets from this machine, all that it needs: then nothing of it need be in the
        store yet."""
        return content.has(
            self._control, [layer.digest for layer in image.layers if not self._store.at_hand(layer.digest)]
        )

    # --- the two ways of a layer ---

    def _received(self, work: _Work, hidden: tuple[bytes, ...]) -> Layer:
        """Through the session: looked through and packed here."""
        exporter = control_pb2.Exporter(Type="oci", Attrs={"compression": "uncompressed"})
        with OciArchive(self._workspace, self._check) as archive:
            self._session.result(lambda stream: archive.take(_chunks(stream)))
            with self._solve(work, exporter) as solve:
                solve.done(lambda: _all(solve, work))
                solve.response()
            for number, (tree, _) in enumerate(work.changed, 1):
                for digest, path in archive.claim(number):
                    tree.changed(digest, path)
            made = (os.fsencode(one.path.strip("/")) for one in made_beforehand(work.command))
            return archive.layer(hidden, frozenset(made), work.command.options.epoch)

    def _pushed(self, opened: ExitStack, work: _Work, target: Target, architecture: str) -> Pushing:
        """From the daemon to the store, which goes on as long as what is `opened`."""
        listed = listing.add(work.graph, work.made, architecture)
        trees: list[Tree] = []

        def make() -> gateway_pb2.Result:
            solve.make(work.made)
            work.log.ended = True
            trees.append(listing.parse(solve.read(solve.make(listed).ref.id, listing.FILE)))
            return solve.make(work.layer)

        solve = opened.enter_context(self._solve(work, target.exporter(work.command.options.epoch)))
        solve.done(make)
        image = work.log.image()
        try:
            read = partial(content.document, self._control)
            descriptor, diff_id = layer_of(read(image), read)
            self._pushed_image = partial(_pushed_image, solve, image)
        except RpcError:
            # The daemon does not tell; the store does when it has it.
            image = _pushed_image(solve)
            descriptor, diff_id = layer_of(target.manifest(image), target.config)
            self._pushed_image = lambda: image
        return Pushing(descriptor, diff_id, trees[0])

    def _solve(self, work: _Work, exporter: control_pb2.Exporter) -> Solve:
        request = control_pb2.SolveRequest(Exporters=[exporter], Entitlements=work.entitlements)
        return Solve(
            self._control, self._address, self._session, work.graph, work.command, work.log, request, self._check,
            pushed=self._target is not None,
        )  # fmt: skip


def _all(solve: Solve, work: _Work) -> gateway_pb2.Result:
    """The layer, and beside it what was changed in caches: as images for platforms that there are not, for an
    exporter has nothing else to tell several apart by."""
    layer = solve.make(work.layer)
    if not work.changed:
        return layer
    refs = [layer.ref, *(solve.make(output).ref for _, output in work.changed)]
    named = [
        {"ID": str(number), "Platform": {"architecture": "amd64", "os": "linux", "variant": str(number)}}
        for number in range(len(refs))
    ]
    return gateway_pb2.Result(
        refs=gateway_pb2.RefMap(refs={str(number): ref for number, ref in enumerate(refs)}),
        metadata={"refs.platforms": json.dumps({"Platforms": named}).encode()},
    )


def _pushed_image(solve: Solve, expected: str = "") -> str:
    """The digest of what the daemon says that it pushed. Raises `Unreachable`."""
    digest = solve.response().get("containerimage.digest", "")
    if digest != (expected or digest):
        raise Unreachable("The buildkitd pushed another image than it said.", id="LN-5003", remedy="Run again.")
    return digest


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
