"""The real registries: Debian's docker-registry, those that `make registries` builds from their Go modules, and two
that are tried where they are on PATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests import servers

BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test" / "registries"


@dataclass(frozen=True)
class Real:
    """How a registry is started, and what it can do; docs/store.md says it to people."""

    command: Callable[[Path, str], list[str]]
    """Of a private directory and its `HOST:PORT`."""
    deletes: bool = True
    mounts: bool = True
    """Whether a blob is taken over from another repository; one that shares all blobs has it already."""
    referrers: bool = True
    immutable: bool = False
    """Whether a tag that exists is not written again."""


@contextmanager
def started(real: Real, directory: Path) -> Iterator[str]:
    """Gives its address, `127.0.0.1:PORT`."""
    directory.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{servers.free_port()}"
    command = real.command(directory, address)
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        servers.wait_for_port(address, server, directory / "log")
        yield address
    finally:
        server.terminate()
        server.wait(300)


def _built(name: str) -> str:
    """The path of a program; a test of one that nobody has built is skipped, and fails in CI."""
    path = BUILT / name
    if not path.exists():
        refuse = pytest.fail if os.environ.get("LINEAL_REQUIRE_REGISTRIES") else pytest.skip
        refuse(f"The registry {name} is missing: `make registries` builds it.")
    return str(path)


def _distribution(directory: Path, address: str, *, of_debian: bool = False) -> list[str]:
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": address},
    }
    program = servers.program("docker-registry") if of_debian else _built("distribution")
    return [program, "serve", _config(directory, config)]


def _zot(directory: Path, address: str) -> list[str]:
    host, _, port = address.partition(":")
    config = {
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": str(directory / "data")},
        "http": {"address": host, "port": port},
        "log": {"level": "warn"},
    }
    return ["zot", "serve", _config(directory, config)]


def _olareg(directory: Path, address: str) -> list[str]:
    host, _, port = address.partition(":")
    (directory / "data").mkdir()
    return [
        "olareg",
        "serve",
        "--addr",
        host,
        "--port",
        port,
        "--dir",
        str(directory / "data"),
        "--api-delete",
    ]


def _ggcr(_directory: Path, address: str) -> list[str]:
    return [_built("ggcr"), "-port", address.partition(":")[2]]


def _ociregistry(_directory: Path, address: str, *, immutable: bool = False) -> list[str]:
    return [_built("ociregistry"), address, *["immutable"] * immutable]


def _config(directory: Path, document: object) -> str:
    # JSON is YAML.
    path = directory / "config.json"
    path.write_text(json.dumps(document))
    return str(path)


REAL = {
    "docker-registry": Real(partial(_distribution, of_debian=True), referrers=False),
    "distribution": Real(_distribution, referrers=False),
    "ggcr": Real(_ggcr, mounts=False, referrers=False),
    "ociregistry": Real(_ociregistry),
    "ociregistry with immutable tags": Real(partial(_ociregistry, immutable=True), deletes=False, immutable=True),
}
if shutil.which("zot"):
    REAL["zot"] = Real(_zot)
if shutil.which("olareg"):
    REAL["olareg"] = Real(_olareg)
