"""BuildKit on both sides: as Lineal's engine, and by itself with the registry as its cache."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.process import Failed, environment, run
from tests.differential.buildkit import PROGRAMS, buildkitd, missing


class PrivateBuildkit:
    """A buildkitd with its data in one directory; a RUN has the host's network."""

    nowhere: ClassVar = {"LINEAL_ENGINE": "buildkit:unix:///nonexistent/buildkitd.sock"}

    def __init__(self, directory: Path, registry: str) -> None:
        if missing():
            raise Failed(missing())
        self._directory, self._registry = directory, registry
        self._running = ExitStack()
        self.host = f"unix://{directory}/buildkitd.sock"
        self.variables = {"LINEAL_ENGINE": f"buildkit:{self.host}"}

    def empty(self) -> None:
        """A new daemon: nothing in its cache."""
        self.stop()
        self._directory.mkdir(parents=True)
        self._running.enter_context(buildkitd(self._directory, self._registry))

    def stop(self) -> None:
        self._running.close()
        if self._directory.exists():
            shutil.rmtree(self._directory)

    def alive(self) -> bool:
        return True

    def last_words(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-1500:]


@dataclass(frozen=True)
class Buildkit:
    """`buildctl build` with all of its cache in the registry, and the image pushed; all targets at once, as `buildx
    bake` does it."""

    checkout: Path
    repository: str
    engine: PrivateBuildkit
    targets: Sequence[str]
    name: ClassVar = "BuildKit"

    def build(self) -> float:
        """Seconds."""
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = environment(Path(home))
            with ThreadPoolExecutor(len(self.targets)) as threads:
                start = time.perf_counter()
                list(threads.map(lambda target: run(self._command(target), self.checkout, env), self.targets))
                return time.perf_counter() - start

    def _command(self, target: str) -> list[str]:
        # Not in one repository: docker-registry confuses uploads of one blob at the same time.
        tag = target or "latest"
        cache = f"type=registry,ref={self.repository}-cache:{tag}"
        return [
            str(PROGRAMS / "buildctl"), "--addr", self.engine.host, "build", "--frontend=dockerfile.v0",
            f"--local=context={self.checkout}", f"--local=dockerfile={self.checkout}", f"--opt=target={target}",
            f"--import-cache={cache}", f"--export-cache={cache},mode=max",
            f"--output=type=image,name={self.repository}:{tag},push=true",
        ]  # fmt: skip
