"""A Docker Engine for the bench alone: emptying it hurts nobody else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from bench.process import Failed
from tests.servers import program

_START_SECONDS = 60


class PrivateEngine:
    """A dockerd with its data, sockets and containerd in one directory; containers use the host's network.

    A second daemon on a machine may not touch the firewall. It shares docker0 and leaves it alone: told to do without
    (`--bridge=none`), dockerd deletes the first one's."""

    nowhere: ClassVar = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    """An engine at which any call fails, and with it the run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._daemon: subprocess.Popen[bytes] | None = None
        self.host = f"unix://{directory}/docker.sock"
        self.variables = {"DOCKER_HOST": self.host, "LINEAL_ENGINE_NETWORK": "host"}
        # A newer client in front of it in PATH may lack the builder.
        self.client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else program("docker")

    def empty(self) -> None:
        """A new engine: no image, container, volume or build cache."""
        self.stop()
        self._directory.mkdir(parents=True)
        with (self._directory / "log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [
                    program("dockerd"), "--host", self.host, "--pidfile", str(self._directory / "pid"),
                    "--data-root", str(self._directory / "data"), "--exec-root", str(self._directory / "exec"),
                    "--iptables=false", "--ip6tables=false",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self._wait()

    def stop(self) -> None:
        """End the daemon and delete all that it kept."""
        if self._daemon is None:
            return
        self._daemon.terminate()
        self._daemon.wait()
        self._daemon = None
        # dockerd leaves its host network's namespace mounted.
        for line in Path("/proc/mounts").read_text().splitlines():
            mounted = line.split()[1]
            if mounted.startswith(f"{self._directory}/"):
                subprocess.run(["umount", mounted], check=True)
        shutil.rmtree(self._directory)

    def alive(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is None

    def last_words(self) -> str:
        """The reason in the log of a daemon that died."""
        log = (self._directory / "log").read_text(errors="replace")
        panic = re.search(r"^(panic|fatal error|SIG).*", log, re.MULTILINE)
        return log[panic.start() :][:1500] if panic else log[-1500:]

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while self.alive() and time.monotonic() < end:
            if self._ask("version").returncode == 0:
                return
            time.sleep(0.1)
        raise Failed(f"The bench's own Docker Engine did not start (it needs root): {self.last_words()}")

    def _ask(self, *args: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "DOCKER_HOST": self.host, "HOME": str(self._directory)}
        return subprocess.run([self.client, *args], env=env, capture_output=True, text=True)
