"""A command with a Docker Engine 29 of its own: `python -m tests.docker29 containerd|system|overlay2 COMMAND...`.

The word names where the engine keeps images: in a containerd that it starts, in one that is there before it, as
Docker's packages have it, or in its own overlay2. The engine has directories, mounts and a network of its own, beside
any other engine of the machine, and ends with the command. `scripts/docker29` builds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test/docker29"
STORES = {"containerd": "true", "system": "true", "overlay2": "false"}
SYSTEM = ("/var/lib/containerd", "/run/containerd")
_INSIDE = "LINEAL_TEST_DOCKER29"


@contextmanager
def engine(store: str, directory: Path) -> Iterator[str]:
    """The engine's address. Needs root."""
    address = f"unix://{directory}/docker.sock"
    daemon = [
        "dockerd", "--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec",
        "--pidfile", f"{directory}/pid", "--host", address, "--feature", f"containerd-snapshotter={STORES[store]}",
        # Debian's runc has none.
        "--feature", "time-namespaces=false",
        *(["--storage-driver", store] if store == "overlay2" else []),
    ]  # fmt: skip
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    with ExitStack() as servers, (directory / "log").open("wb") as log:

        def start(*command: str, socket: Path) -> None:
            command = ("setpriv", "--pdeathsig", "TERM", *command)
            server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            servers.callback(_end, server)
            _wait(socket, server, directory / "log")

        if store == "system":
            for place in SYSTEM:
                _cover(Path(place), directory / f"containerd{place.replace('/', '-')}")
            start("containerd", socket=Path("/run/containerd/containerd.sock"))
        start(*daemon, socket=directory / "docker.sock")
        yield address


def _cover(place: Path, own: Path) -> None:
    """Have a directory of our own at a place of the machine, in this mount namespace."""
    own.mkdir()
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(own), str(place)], check=True)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait(120)


def _wait(socket: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > end:
            sys.exit(f"Docker Engine 29 did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


def main(store: str, *command: str) -> int:
    if _INSIDE not in os.environ:
        # Rules of the packet filter belong to a network namespace: another engine's stay as they are.
        os.environ[_INSIDE] = store
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-m", "tests.docker29", store, *command])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Neither a tmpfs, which may be small, nor an overlay, on which there is no other.
    directory = Path(tempfile.mkdtemp(dir=PROGRAMS, prefix="run-"))
    try:
        with engine(store, directory) as address:
            return subprocess.run(command, env={**os.environ, "DOCKER_HOST": address}).returncode
    finally:
        # The engine leaves it mounted.
        subprocess.run(["umount", f"{directory}/exec/netns/default"], capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
