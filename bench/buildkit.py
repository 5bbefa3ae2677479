"""BuildKit on both sides: as Lineal's engine, and by itself with the registry as its cache."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
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

    def version(self) -> str:
        said = subprocess.run(
            [PROGRAMS / "buildkitd", "--version"], capture_output=True, text=True, check=True
        ).stdout
        pinned = re.search(r"moby/buildkit (v\S+)", Path("tests/buildkit/go.mod").read_text())
        return pinned[1] if pinned else said.strip()


@dataclass(frozen=True)
class Buildkit:
    """`buildctl build` with all of its cache in the registry, and the image pushed."""

    checkout: Path
    repository: str
    engine: PrivateBuildkit
    name: ClassVar = "BuildKit"

    def build(self) -> float:
        """Seconds."""
        # Not in one repository: docker-registry confuses uploads of one blob at the same time.
        cache = f"type=registry,ref={self.repository}-cache:latest"
        command = [
            str(PROGRAMS / "buildctl"), "--addr", self.engine.host, "build", "--frontend=dockerfile.v0",
            f"--local=context={self.checkout}", f"--local=dockerfile={self.checkout}",
            f"--import-cache={cache}", f"--export-cache={cache},mode=max",
            f"--output=type=image,name={self.repository}:latest,push=true",
        ]  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            return run(command, self.checkout, environment(Path(home))).seconds
