"""The engine that Lineal's side uses: Docker's, or with LINEAL_TEST_ENGINE the oracle's own daemon, or none (`runc`).

`buildkit` has a registry as its store, to which the daemon pushes; with `buildkit-layout` all goes by the session."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from lineal.store.registry.client import ACCEPT

CHOSEN = os.environ.get("LINEAL_TEST_ENGINE", "docker")


@dataclass(frozen=True)
class Engine:
    environment: dict[str, str]
    pushes: bool = False
    """Its layers go to a registry without Lineal."""


def under_test(buildkitd: str, chosen: str) -> Engine:
    nowhere = {"LINEAL_ENGINE": f"buildkit:{buildkitd}", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    return {
        "docker": Engine({}),
        "buildkit": Engine(nowhere, pushes=True),
        "buildkit-layout": Engine(nowhere),
        "runc": Engine({**nowhere, "LINEAL_ENGINE": "runc"}),
    }[chosen]


def fetch(repository: str, digests: Sequence[str], layout: Path) -> None:
    """Copies images of a registry to the blobs of a layout."""
    for digest in digests:
        _fetch(repository, digest, "manifests", layout)


def _fetch(repository: str, digest: str, kind: str, layout: Path) -> None:
    path = layout / "blobs" / digest.replace(":", "/")
    if not path.exists():
        host, _, name = repository.partition("/")
        answer = requests.get(f"http://{host}/v2/{name}/{kind}/{digest}", headers={"Accept": ACCEPT}, timeout=300)
        answer.raise_for_status()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.content)
    if kind == "manifests":
        document = json.loads(path.read_bytes())
        for one in document.get("manifests", []):
            _fetch(repository, one["digest"], "manifests", layout)
        for one in [document.get("config"), *document.get("layers", [])]:
            if one:
                _fetch(repository, one["digest"], "blobs", layout)
