"""The two sides: each builds the repository's commit and publishes the image, as on a runner that keeps nothing."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.buildkit import PrivateBuildkit
from bench.engine import PrivateEngine
from bench.process import environment, run
from bench.runc import PrivateRunc

NOWHERE = PrivateEngine.nowhere["DOCKER_HOST"]


@dataclass(frozen=True)
class Lineal:
    """`lineal build` into the store `repository`."""

    checkout: Path
    repository: str
    engine: PrivateEngine | PrivateBuildkit | PrivateRunc

    def build(self, *, with_engine: bool = True) -> tuple[float, dict[str, Any]]:
        """Seconds and the report."""
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = {
                **environment(Path(home)),
                **(self.engine.variables if with_engine else self.engine.nowhere),
            }
            report = Path(home, "report.json")
            argv = [lineal(), "build", "--repo", self.repository, "--report", str(report)]
            done = run(argv, self.checkout, env)
            return done.seconds, json.loads(report.read_text())


@dataclass(frozen=True)
class Docker:
    """`docker build` with the registry as its cache, then `docker push`."""

    checkout: Path
    repository: str
    engine: PrivateEngine
    name: ClassVar = "docker"

    def build(self) -> float:
        """Seconds."""
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = {**environment(Path(home)), "DOCKER_HOST": self.engine.host, "DOCKER_BUILDKIT": "1"}
            image = f"{self.repository}:latest"
            build = [
                self.engine.client, "build", "--network=host", "--cache-from", image,
                "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", image, ".",
            ]  # fmt: skip
            built = run(build, self.checkout, env)
            pushed = run([self.engine.client, "push", image], self.checkout, env)
            return built.seconds + pushed.seconds


def lineal() -> str:
    """The console script that belongs to the Python that runs the bench."""
    return str(Path(sys.executable).with_name("lineal"))
