"""The two sides: each builds the repository's commit and publishes the image, as on a runner that keeps nothing."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.buildkit import PrivateBuildkit
from bench.engine import PrivateEngine
from bench.memory import Memory
from bench.process import environment, run
from bench.runc import PrivateRunc

_SECONDS = 0.2
"""Between two looks at the memory: they take time from what is measured."""
NOWHERE = PrivateEngine.nowhere["DOCKER_HOST"]


@dataclass(frozen=True)
class Lineal:
    """`lineal build` into the store `repository`."""

    checkout: Path
    repository: str
    engine: PrivateEngine | PrivateBuildkit | PrivateRunc

    def build(self, *, with_engine: bool = True) -> tuple[float, dict[str, Any], int]:
        """Seconds, the report, and bytes of memory at one moment."""
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = {
                **environment(Path(home)),
                **(self.engine.variables if with_engine else self.engine.nowhere),
            }
            report = Path(home, "report.json")
            argv = [lineal(), "build", "--repo", self.repository, "--report", str(report)]
            seen = Memory(_SECONDS)
            done = run(argv, self.checkout, env, seen.watch)
            return done.seconds, json.loads(report.read_text()), seen.together


@dataclass(frozen=True)
class Docker:
    """`docker build` with the registry as its cache, then `docker push`; one target after the other."""

    checkout: Path
    repository: str
    engine: PrivateEngine
    targets: Sequence[str]
    name: ClassVar = "docker"

    def build(self) -> float:
        """Seconds."""
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = {**environment(Path(home)), "DOCKER_HOST": self.engine.host, "DOCKER_BUILDKIT": "1"}
            commands = [command for target in self.targets for command in self._commands(target)]
            return sum(run(command, self.checkout, env).seconds for command in commands)

    def _commands(self, target: str) -> list[list[str]]:
        image = f"{self.repository}:{target or 'latest'}"
        build = [
            self.engine.client, "build", "--network=host", "--cache-from", image,
            "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", image, "--target", target, ".",
        ]  # fmt: skip
        return [build, [self.engine.client, "push", image]]


def lineal() -> str:
    """The console script that belongs to the Python that runs the bench."""
    return str(Path(sys.executable).with_name("lineal"))
