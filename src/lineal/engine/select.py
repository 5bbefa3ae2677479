"""The engine that a run's settings name: `docker`, `buildkit:ADDRESS`, `buildkitd`, `runc`, or whichever there is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.engine import Command, Engine, PushedLayer
from lineal.engine.machine import KnowsMachine, Machine
from lineal.errors import BadConfiguration, Interrupted, LinealError, Unreachable
from lineal.oci import Store
from lineal.oci.types import Image, Layer
from lineal.text import quoted

if TYPE_CHECKING:
    from lineal.engine.docker.client import Client
    from lineal.engine.runc.engine import RuncEngine

AUTO, DOCKER, BUILDKIT, BUILDKITD, RUNC = "auto", "docker", "buildkit", "buildkitd", "runc"
_HOST = "BUILDKIT_HOST"
_EXAMPLE = "Write auto, docker, buildkit, buildkit:ADDRESS, buildkitd or runc."


def check(text: str, source: str) -> None:
    """Raises `BadConfiguration` for what names no engine; `source` says for people where it is written."""
    name, separator, address = text.partition(":")
    if name == BUILDKIT and separator:
        from lineal.engine.buildkit.address import parse_all

        parse_all(address, source)
    elif text not in (AUTO, DOCKER, BUILDKIT, BUILDKITD, RUNC):
        raise BadConfiguration(f"{quoted(text)} ({source}) is no engine.", id="LN-5031", remedy=_EXAMPLE)


class SelectedEngine:
    """An `Engine`, found and made at the first `run`: a run that finds everything asks for none."""

    def __init__(
        self, name: str, source: str, *, network: str, environment: Mapping[str, str], workspace: Path,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`name` is one that `check` takes. A daemon that is started here keeps its data in `workspace`."""
        self._name, self._source = name, source
        self._network, self._environment, self._workspace = network, environment, workspace
        self._note = note
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._stopped = self._closed = False
        self._closing: list[Callable[[], None]] = []

    def prepare(self, parent: Image, store: Store, platform: str, workspace: Path) -> None:
        self._made().prepare(parent, store, platform, workspace)

    def run(
        self, parent: Image, store: Store, command: Command, output: Callable[[str], None], workspace: Path
    ) -> Layer | PushedLayer:
        return self._made().run(parent, store, command, output, workspace)

    def stop(self) -> None:
        self._stopped = True
        if self._engine is not None:
            self._engine.stop()

    def machine(self) -> Machine | None:
        """The machine behind it, None when it does not say. Raises `LinealError` when there is no engine."""
        engine = self._made()
        return engine.machine() if isinstance(engine, KnowsMachine) else None

    def close(self) -> None:
        """End what the engine does in the background, and a daemon that was started here."""
        with self._lock:
            self._closed = True
            if self._engine is not None:
                self._engine.close()
        for close in self._closing:
            close()

    def _made(self) -> Engine:
        with self._lock:
            if self._closed:
                raise Interrupted("The build was interrupted.")
            if self._engine is None:
                self._engine = self._make()
            if self._stopped:
                self._engine.stop()
            return self._engine

    def _make(self) -> Engine:
        name, _, address = self._name.partition(":")
        if name == DOCKER:
            return self._docker()
        if name == RUNC:
            return self._runc()
        if name == BUILDKITD:
            return self._own()
        if address:
            return self._buildkit(address, self._source)
        if given := self._environment.get(_HOST):
            return self._buildkit(given, _HOST)
        return self._found(with_docker=name == AUTO)

    def _found(self, *, with_docker: bool) -> Engine:
        """What is there: Docker where one answers, a buildkitd at its usual place, one that can be started."""
        from lineal.engine.buildkit.own import can_start

        if with_docker and self._docker_answers():
            return self._docker()
        if self._stopped:
            raise Interrupted("The build was interrupted.")
        for path in _sockets(self._environment):
            if os.access(path, os.R_OK | os.W_OK):
                self._note(f"RUN goes to the buildkitd at unix://{path}.")
                return self._buildkit(f"unix://{path}", "default")
        if with_docker and (runc := self._runc_works()):
            self._note("RUN goes to an OCI runtime of this machine (engine runc).")
            return runc
        if can_start(self._environment):
            return self._own()
        if with_docker:
            # Its error says what is usually wrong.
            return self._docker()
        raise Unreachable(
            "There is no buildkitd: none at its usual socket, and no program of this name.", id="LN-5028",
            remedy=f"Name one by --engine buildkit:ADDRESS (LINEAL_ENGINE) or {_HOST}.",
        )  # fmt: skip

    def _docker_answers(self) -> bool:
        from lineal.engine.docker.client import Client

        with suppress(LinealError):
            Client(self._environment, lambda: None, timeout=10)
            return True
        return False

    def _runc_works(self) -> Engine | None:
        from lineal.engine.runc.tasks import program

        if program(self._environment) is None:
            return None
        made = self._runc()
        with suppress(LinealError):
            made.open()
            return made
        return None

    def _runc(self) -> RuncEngine:
        from lineal.engine.runc.engine import RuncEngine

        made = RuncEngine(environment=self._environment)
        self._closing.append(made.close)
        return made

    def _docker(self) -> Engine:
        from lineal.engine.docker.engine import DockerEngine

        def executed(client: Client) -> Sequence[str] | None:
            # Without the packages for BuildKit's protocol nobody knows.
            with suppress(ImportError):
                from lineal.engine.buildkit.inside_docker import emulated

                return emulated(client)
            return None

        return DockerEngine(network=self._network, environment=self._environment, emulated=executed)

    def _buildkit(self, address: str, source: str) -> Engine:
        from lineal.engine.buildkit.address import parse_all
        from lineal.engine.buildkit.certificates import certified
        from lineal.engine.buildkit.engine import BuildkitEngine

        addresses = certified(parse_all(address, source), self._environment, self._workspace)
        return BuildkitEngine(addresses, network=self._network, environment=self._environment)

    def _own(self) -> Engine:
        from lineal.engine.buildkit.engine import BuildkitEngine
        from lineal.engine.buildkit.own import start

        daemon = start(self._environment, self._workspace, host_network=self._network == "host")
        self._closing.append(daemon.close)
        self._note(f"RUN goes to a buildkitd of this run's own{' (rootless)' if daemon.rootless else ''}.")
        return BuildkitEngine((daemon.address,), network=self._network, environment=self._environment)


def _sockets(environment: Mapping[str, str]) -> list[str]:
    """The places where a buildkitd of the system, or of this user, listens."""
    places = ["/run/buildkit/buildkitd.sock"]
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        places.insert(0, f"{runtime}/buildkit/buildkitd.sock")
    return places
