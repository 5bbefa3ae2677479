"""`docker build` as the judge of Dockerfiles, and the same Dockerfile through Lineal's own parts."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineal.dockerfile import metadata
from lineal.dockerfile.scope import DEFAULT_PATH, finish
from tests.unit.stages.workbench import planned, stages

DOCKER = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"
FIELDS = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "Labels", "StopSignal",
          "Healthcheck", "Shell", "OnBuild")  # fmt: skip


class BuildError(Exception):
    """`docker build` refused."""


class Docker:
    """Builds that need no files; every image goes away with `close`."""

    def __init__(self, context: Path) -> None:
        self._context = context
        self._images: list[str] = []

    def build(self, dockerfile: str, args: Mapping[str, str] | None = None) -> str:
        """The name of the image."""
        name = f"lineal-dockerfile-test:{uuid.uuid4().hex}"
        given = [part for key, value in (args or {}).items() for part in ("--build-arg", f"{key}={value}")]
        done = subprocess.run(
            [DOCKER, "build", "--progress=plain", *given, "-t", name, "-f", "-", str(self._context)],
            input=dockerfile.encode(),
            capture_output=True,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
        )
        if done.returncode:
            raise BuildError(done.stderr.decode(errors="replace")[-1000:])
        self._images.append(name)
        return name

    def config(self, name: str) -> dict[str, Any]:
        done = subprocess.run([DOCKER, "image", "inspect", name], capture_output=True, check=True)
        return fields(json.loads(done.stdout)[0]["Config"])

    def close(self) -> None:
        if self._images:
            subprocess.run([DOCKER, "rmi", "-f", *self._images], capture_output=True)


def fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says; the engine writes null and "" where nothing is said."""
    return {name: config[name] for name in FIELDS if config.get(name) not in (None, "", {}, [])}


def ours(
    dockerfile: str, base: Mapping[str, Any] | None = None, args: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The config that Lineal makes of a Dockerfile without layers; `base` is the config of what FROM names."""
    start = {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"} if base is None else dict(base)
    document: dict[str, Any] = {"config": start}
    for stage in stages(planned(dockerfile, args=args or {})):
        for meta in stage.metadata:
            metadata.apply(document, meta, lambda word: finish(word, metadata.environment(document["config"])))
    return fields(document["config"])
