"""A current BuildKit as the oracle: buildkitd of this test process, and builds with buildctl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers
from tests.differential.cases import Case
from tests.differential.image import Image, read

PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lineal-test" / "buildkit"
# buildctl hands its own proxies to every RUN. It is read once: pytest changes its environment, and threads build.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
_BUILDCTL = str(PROGRAMS / "buildctl")


class Refused(Exception):
    """BuildKit does not build this; the text is its own."""


def missing() -> str:
    """Why there is no BuildKit here, or nothing."""
    if not (PROGRAMS / "buildkitd").exists() or not (PROGRAMS / "buildctl").exists():
        return f"BuildKit is not in {PROGRAMS}: install Go, and `scripts/setup test` builds it."
    if not shutil.which("runc"):
        return "buildkitd needs runc: install it (Docker's packages bring it)."
    if os.geteuid() != 0:
        return "buildkitd needs root: run these tests as root."
    return ""


@dataclass(frozen=True)
class Buildkit:
    address: str
    scratch: Path
    kill: Callable[[], None] = lambda: None

    def build(self, case: Case, checkout: Path, arguments: Mapping[str, str]) -> Image:
        """The image of a case from a directory that holds its commit. Raises `Refused`."""
        image = case.image(arguments)
        dockerfile = checkout / case.dockerfile
        _hide_syntax(dockerfile)
        out = self.scratch / case.id.replace("/", "-")
        command = [_BUILDCTL, "--addr", self.address, "build", "--progress=plain"]
        command += ["--frontend=dockerfile.v0", f"--local=context={checkout / case.context}"]
        command += [f"--local=dockerfile={dockerfile.parent}", f"--opt=filename={dockerfile.name}"]
        command += [f"--opt=build-arg:{name}={value}" for name, value in image["args"].items()]
        for name, named in image.get("contexts", {}).items():
            local = f"named-{len(command)}"
            command += [f"--local={local}={checkout / named['context']}"] if "context" in named else []
            value = f"local:{local}" if "context" in named else f"docker-image://{named['image']}"
            command.append(f"--opt=context:{_spelt(name)}={value}")
        command += [f"--opt=target={image['target']}"] if "target" in image else []
        command += [f"--secret=id={secret['id']},env={secret['env']}" for secret in image.get("secrets", [])]
        command += [f"--output=type=oci,dest={out},tar=false,compression=uncompressed"]
        done = subprocess.run(command, capture_output=True, env=_ENVIRONMENT | case.expected.env, timeout=300)
        if done.returncode:
            text = done.stderr.decode(errors="replace")
            # A daemon that is away has refused nothing.
            assert "buildkitd" not in text.lower(), text
            raise Refused(text)
        try:
            return read(out)
        finally:
            shutil.rmtree(out)


def _spelt(name: str) -> str:
    """The name of a context as buildx gives it to BuildKit."""
    return name.removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")


@contextmanager
def buildkitd(directory: Path, registry: str, *more: str) -> Iterator[Buildkit]:
    """A daemon of its own, its data in `directory`; RUN has the host's network. `more` are flags for it."""
    directory.mkdir(exist_ok=True)
    config = directory / "buildkitd.toml"
    config.write_text(f'[registry."{registry}"]\nhttp = true\n')
    address = f"unix://{directory}/buildkitd.sock"
    # It ends with this process, also a killed one; in a mount namespace of its own, so that its mounts go with it.
    apart = [servers.program("setpriv"), "--pdeathsig", "TERM", servers.program("unshare"), "--mount"]
    flags = ["--config", str(config), "--root", str(directory / "data"), "--addr", address]
    flags += ["--containerd-worker=false", "--oci-worker=true", "--oci-worker-net=host", "--oci-worker-gc=false"]
    flags += [f"--oci-worker-binary={servers.program('runc')}", *more]
    with (directory / "log").open("wb") as log:
        command = [*apart, str(PROGRAMS / "buildkitd"), *flags]
        daemon = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(directory)})
    try:
        _wait(daemon, address, directory / "log")
        yield Buildkit(address, directory, daemon.kill)
    finally:
        daemon.terminate()
        daemon.wait(300)


def _wait(daemon: subprocess.Popen[bytes], address: str, log: Path, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    ask = [_BUILDCTL, "--addr", address, "debug", "workers"]
    while daemon.poll() is None and time.monotonic() < end:
        if subprocess.run(ask, capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"buildkitd did not start: {log.read_text(errors='replace')[-2000:]}")


def _hide_syntax(dockerfile: Path) -> None:
    """Takes `# syntax=` away without moving a line: it would be pulled from a public registry."""
    data = dockerfile.read_bytes()
    dockerfile.write_bytes(re.sub(rb"(?i)\A((?:#.*\n)*?)#\s*syntax\s*=[^\n]*", rb"\1# hidden-syntax", data))


def fast() -> str | None:
    """With every small build BuildKit waits for the disk several times."""
    return servers.in_memory(2)
