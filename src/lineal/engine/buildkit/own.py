"""A buildkitd of this run's own, where the program is: rootless when we are not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lineal.engine import DEVICE, NETWORK_HOST, SECURITY_INSECURE
from lineal.engine.buildkit.address import Address
from lineal.errors import Unreachable
from lineal.process import apart, reaped, tether
from lineal.text import printable

_SECONDS = 30.0
_GRACE = 20.0
_RUNC = "/run/runc"
"""Where runc keeps root's containers."""
_KEPT_BACK = ("LINEAL_", "SIGSTORE_", "ACTIONS_ID_TOKEN_")
"""How variables begin that no daemon gets."""
_LONGEST, _MOST = "kit/api.sock", 107
"""The longest name of a socket in its directory (rootlesskit's), and the bytes that its whole path may have."""
_SHORT = "/tmp"  # noqa: S108 (`mkdtemp` makes a private directory there)
_LOG = 2000
"""Bytes of a log that a failure quotes."""


@dataclass
class OwnDaemon:
    """`close` ends it, with all that it has started, and removes its data; so does the kernel when we are killed."""

    address: Address
    rootless: bool
    _process: subprocess.Popen[bytes]
    _reaped: ExitStack

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reaped.close()


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
    directory = Path(tempfile.mkdtemp(prefix="bk-", dir=workspace))
    stack = ExitStack()
    sockets = _sockets(directory, stack)
    address = Address("unix", str(sockets / "sock"))
    command = [buildkitd, "--root", str(directory / "data"), "--addr", str(address)]
    command += ["--containerd-worker=false", "--oci-worker=true", "--otel-socket-path", str(sockets / "otel")]
    # It is this run's alone, which has asked already what its commit may have.
    command += [f"--allow-insecure-entitlement={name}" for name in (NETWORK_HOST, SECURITY_INSECURE, DEVICE)]
    # In a namespace of processes that ends with it, and with it every command that it runs.
    if rootlesskit is not None:
        # Without a network of its own, RUN has that of this machine: nothing else is to be installed.
        kit = [rootlesskit, "--net=host", "--copy-up=/run", "--pidns", f"--state-dir={sockets / 'kit'}"]
        command = [*kit, *command, "--rootless", "--oci-worker-net=host"]
    else:
        command = [*apart("buildkitd", [_RUNC]), *command, *(["--oci-worker-net=host"] if host_network else [])]
    through = [rootlesskit, "--net=host"] if rootlesskit is not None else []
    stack.enter_context(reaped(directory, workspace, through))
    log = directory / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*tether(), *command],
            # Its own settings, and what it vouches with, are no daemon's. Where XDG_RUNTIME_DIR says, runc keeps its
            # state for a user who is not root.
            env={name: value for name, value in environ.items() if not name.startswith(_KEPT_BACK)}
            | {"XDG_RUNTIME_DIR": str(sockets)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            process_group=0,
        )
    daemon = OwnDaemon(address, rootless, process, stack)
    _wait(daemon, process, log)
    return daemon


def _sockets(directory: Path, stack: ExitStack) -> Path:
    """A directory for sockets, whose paths are short. Where that of the run is long, they have one of their own: it
    goes with the stack."""
    if len(os.fsencode(directory / _LONGEST)) <= _MOST:
        return directory
    sockets = Path(tempfile.mkdtemp(prefix="lineal-", dir=_SHORT))
    stack.enter_context(reaped(sockets))
    return sockets


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environ.get("PATH"))


def _wait(daemon: OwnDaemon, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        if Path(daemon.address.place).exists():
            return
        time.sleep(0.05)
    reason = _reason(log.read_text(errors="replace"))
    daemon.close()
    raise Unreachable(
        f"A buildkitd could not be started{reason}.", id="LN-5032",
        remedy="See docs/engines.md for what it needs, or name another engine by `--engine` (LINEAL_ENGINE).",
    )  # fmt: skip


def _reason(log: str) -> str:
    """buildkitd's own sentence, which stands above a list of its calls, or rootlesskit's, but for that it ended."""
    lines = log[-_LOG:].strip().splitlines()
    said = [line for line in lines if line.startswith("buildkitd: ")]
    said += [line for line in lines if not line.startswith("[rootlesskit:parent] error: child exited")][-1:]
    return f": {printable(said[0])}" if said else ""
