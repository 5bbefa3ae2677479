"""A buildkitd of this run's own, where the program is: rootless when we are not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lineal.engine.buildkit.address import Address
from lineal.errors import Unreachable
from lineal.process import tether

_SECONDS = 30.0
_GRACE = 20.0
_LOG = 2000
"""Bytes of a log that a failure quotes."""


@dataclass
class OwnDaemon:
    """`close` ends it and removes its data."""

    address: Address
    rootless: bool
    _process: subprocess.Popen[bytes]
    _directory: Path

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def can_start(environ: Mapping[str, str]) -> bool:
    return _program("buildkitd", environ) is not None and (
        os.geteuid() == 0 or _program("rootlesskit", environ) is not None
    )


def start(environ: Mapping[str, str], workspace: Path, *, host_network: bool) -> OwnDaemon:
    """Start it and wait until it listens. Raises `Unreachable`."""
    buildkitd, rootless = _program("buildkitd", environ), os.geteuid() != 0
    rootlesskit = _program("rootlesskit", environ) if rootless else None
    if buildkitd is None or (rootless and rootlesskit is None):
        missing = "buildkitd" if buildkitd is None else "rootlesskit, which a user who is not root needs,"
        raise Unreachable(
            f"{missing} is not on the PATH, so no buildkitd can be started.", id="LN-5032",
            remedy="Install it, or name another engine by `--engine` (LINEAL_ENGINE).",
        )  # fmt: skip
    directory = Path(tempfile.mkdtemp(prefix="buildkitd-", dir=workspace))
    address = Address("unix", str(directory / "sock"))
    command = [buildkitd, "--root", str(directory / "data"), "--addr", str(address)]
    command += ["--containerd-worker=false", "--oci-worker=true"]
    command += ["--allow-insecure-entitlement=network.host"] if host_network else []
    if rootlesskit is not None:
        # Without a network of its own, RUN has that of this machine: nothing else is to be installed.
        command = [rootlesskit, "--net=host", "--copy-up=/run", *command, "--rootless", "--oci-worker-net=host"]
    elif host_network:
        command += ["--oci-worker-net=host"]
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*tether(), *command],
            env={name: value for name, value in environ.items() if not name.startswith("LINEAL_")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            process_group=0,
        )
    daemon = OwnDaemon(address, rootless, process, directory)
    _wait(daemon, process, log)
    return daemon


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environ.get("PATH"))


def _wait(daemon: OwnDaemon, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        if Path(daemon.address.place).exists():
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace")[-_LOG:].strip().splitlines()
    daemon.close()
    reason = f": {said[-1]}" if said else ""
    raise Unreachable(
        f"A buildkitd could not be started{reason}.", id="LN-5032",
        remedy="See docs/engines.md for what it needs, or name another engine by `--engine` (LINEAL_ENGINE).",
    )  # fmt: skip
