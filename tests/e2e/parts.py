"""What the end-to-end tests share: a project in git with its store, and what a run of Lineal left behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from tests import servers
from tests.conftest import Lineal

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
"""The environment of a machine without a Docker Engine."""
# A RUN with another result each time: nothing but the store can give the first one again.
ONCE = "RUN cat /proc/sys/kernel/random/uuid >/once"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Ran:
    """A run of `lineal`: its exit code, its streams, and its report (empty when it wrote none)."""

    code: int
    stdout: str
    stderr: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """The sentence that a failed run ends with, without its id."""
        return re.sub(r" \[LN-\d{4}\]$", "", self.stderr.splitlines()[-1].removeprefix("Error: "))

    @property
    def stages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.report["stages"]
        return found

    @property
    def made(self) -> list[str]:
        """The first word of each stage that this run made itself, as `RUN` or `COPY`."""
        made = [stage for stage in self.stages if stage["outcome"] in ("built", "assembled")]
        return [stage["instruction"].split()[0] for stage in made]

    def stage(self, text: str) -> dict[str, Any]:
        """The one stage whose instruction holds `text`."""
        (found,) = [stage for stage in self.stages if text in stage["instruction"]]
        return found

    @property
    def digests(self) -> dict[str, str | None]:
        """Image -> digest of its stage tag."""
        return {image["name"]: image["digest"] for image in self.report["images"]}

    @property
    def checksums(self) -> list[str]:
        return [stage["checksum"] for stage in self.stages]


@dataclass
class Project:
    """A git repository, and Lineal run in it with one store."""

    repo: servers.Repository
    lineal: Lineal
    store: str
    scratch: Path
    runs: int = 0

    def write(self, dockerfile: str, files: Mapping[str, str | bytes | None] | None = None, **more: Any) -> str:
        """Commits a Dockerfile of the image `app` and what it needs; gives the commit id."""
        config = "project: shop\nimages: {app: {}}\n"
        return self.repo.write({"lineal.yaml": config, "Dockerfile": dockerfile, **(files or {})}, **more)

    def run(
        self, *args: str, code: int = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None,
        store: str | None = None,
    ) -> Ran:  # fmt: skip
        """A command with `--repo` and `--report`; a surprise (another exit code, a traceback) fails the test."""
        self.runs += 1
        report = self.scratch / f"report-{self.runs}.json"
        command = [*args, "--repo", store or self.store, "--report", str(report)]
        done = self.lineal(*command, cwd=cwd or self.repo.path, env=env)
        ran = Ran(done.code, done.stdout, done.stderr, json.loads(report.read_text()) if report.exists() else {})
        check(ran, code)
        return ran

    def build(self, *args: str, **more: Any) -> Ran:
        return self.run("build", *args, **more)

    def plan(self, *args: str, **more: Any) -> Ran:
        return self.run("plan", *args, **more)

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A run that goes on while the test does something else; its streams are pipes."""
        return self.lineal.start(*args, "--repo", self.store, cwd=self.repo.path, env=env)

    def clone(self, name: str, *options: str) -> Project:
        """The same project on another machine: a clone elsewhere with a home of its own, and the same store."""
        home = self.scratch / f"{name}-home"
        home.mkdir()
        repo = self.repo.clone(self.scratch / name, *options)
        return Project(repo, Lineal(repo.path, home, dict(self.lineal.env)), self.store, home)

    @cached_property
    def contents(self) -> Contents:
        return Directory(Path(self.store[7:])) if self.store.startswith("layout:") else Published(self.store)


def check(ran: Ran, code: int) -> None:
    assert ran.code == code, f"exit {ran.code}, expected {code}:\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in ran.stderr, ran.stderr
    ends = (ran.stderr.splitlines() or [""])[-1]
    assert ends.startswith("Error: ") == (code not in (0, 2)), ran.stderr


# --- what is published, read without Lineal's own code --------------------------------------------------------------


class Contents:
    """A store's tags and contents as any other tool sees them."""

    def tags(self) -> dict[str, str]:
        raise NotImplementedError

    def blob(self, digest: str) -> bytes:
        raise NotImplementedError

    def json(self, digest: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.blob(digest))
        return value

    def image(self, digest: str) -> dict[str, Any]:
        """The image manifest that a stage's index names."""
        return self.json(self.json(digest)["manifests"][0]["digest"])

    def image_digest(self, digest: str) -> str:
        return str(self.json(digest)["manifests"][0]["digest"])

    def config(self, digest: str) -> dict[str, Any]:
        return self.json(self.image(digest)["config"]["digest"])

    def layers(self, digest: str) -> list[str]:
        return [str(layer["digest"]) for layer in self.image(digest)["layers"]]

    def files(self, digest: str) -> dict[str, bytes]:
        """Path -> content of the image's regular files, upper layers over lower ones (no deletions)."""
        found: dict[str, bytes] = {}
        for layer in self.layers(digest):
            with tarfile.open(fileobj=io.BytesIO(self.blob(layer))) as tar:
                found |= {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]
        return found

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Every document and blob that a tag leads to, compressed ones unpacked."""
        waiting, seen = list(self.tags().values()), set()
        while waiting:
            digest = waiting.pop()
            if digest in seen:
                continue
            seen.add(digest)
            data = self.blob(digest)
            yield digest, gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            if data.startswith(b"{"):
                document = json.loads(data)
                named = [*document.get("manifests", []), *document.get("layers", []), document.get("config") or {}]
                waiting += [entry["digest"] for entry in named if "digest" in entry]


_DIGEST = "Docker-Content-Digest"


@dataclass
class Published(Contents):
    """A repository of a registry on loopback, `127.0.0.1:PORT/PATH`."""

    address: str
    torn: bool = False
    """Whether its registry was killed: tags that it was just writing lead to nothing, and count as not there."""

    def _url(self, what: str) -> str:
        host, _, path = self.address.partition("/")
        return f"http://{host}/v2/{path}/{what}"

    def tags(self) -> dict[str, str]:
        """What a run that was killed had on its way, the registry may still be writing."""
        for _ in range(600):
            answer = requests.get(self._url("tags/list"), timeout=300)
            names = answer.json()["tags"] or [] if answer.ok else []
            headers = {name: self._manifest(name).headers for name in names}
            found = {name: told[_DIGEST] for name, told in headers.items() if _DIGEST in told}
            if self.torn or len(found) == len(names):
                return found
            time.sleep(0.1)
        raise AssertionError(f"tags that lead to nothing: {set(names) - set(found)}")

    def blob(self, digest: str) -> bytes:
        answer = self._manifest(digest)
        if not answer.ok:
            answer = requests.get(self._url(f"blobs/{digest}"), timeout=300)
        assert answer.ok, f"{digest}: {answer.status_code}"
        return answer.content

    def _manifest(self, reference: str) -> requests.Response:
        accept = {"Accept": f"{_INDEX}, {_MANIFEST}"}
        return requests.get(self._url(f"manifests/{reference}"), headers=accept, timeout=300)


@dataclass
class Directory(Contents):
    """A directory in the OCI Image Layout format."""

    path: Path

    def tags(self) -> dict[str, str]:
        entries = json.loads((self.path / "index.json").read_text())["manifests"]
        return {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in entries}

    def blob(self, digest: str) -> bytes:
        data = (self.path / "blobs" / digest.replace(":", "/")).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest.partition(":")[2]
        return data


# --- engines and processes ------------------------------------------------------------------------------------------


@contextmanager
def docker_engine(directory: Path) -> Iterator[dict[str, str]]:
    """A Docker Engine of its own that has never seen an image; gives the environment of runs that use it.

    It lives in network and mount namespaces of its own: a second engine in the machine's own ones fights the first
    over `docker0` (with `--bridge=none` it even deletes it), and leaves mounts behind."""
    directory.mkdir(parents=True, exist_ok=True)
    socket = directory / "docker.sock"
    flags = ["--iptables=false", "--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")]
    flags += ["--pidfile", str(directory / "pid"), "--host", f"unix://{socket}"]
    with (directory / "log").open("wb") as log:
        apart = [servers.program("unshare"), "--net", "--mount"]
        daemon = subprocess.Popen([*apart, servers.program("dockerd"), *flags], stdout=log, stderr=log)
    env = {"DOCKER_HOST": f"unix://{socket}"}
    try:
        wait_until(lambda: daemon.poll() is not None or docker("version", env=env, check=False).returncode == 0)
        assert daemon.poll() is None, (directory / "log").read_text(errors="replace")[-2000:]
        yield env
    finally:
        daemon.terminate()
        daemon.wait(300)


def docker(*args: str, env: Mapping[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [servers.program("docker"), *args],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=check,
    )


def containers_of(mark: str, env: Mapping[str, str]) -> list[str]:
    """The ids of the containers, running or not, whose command holds `mark`."""
    rows = docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Command}}", env=env).stdout.splitlines()
    return [row.split()[0] for row in rows if mark in row]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Reads stderr of a run until a line holds `text`; gives what was read."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} never came:\n{read}")


def save(repo: servers.Repository, path: str, text: str) -> None:
    """Writes a file as an editor does: nobody who watches sees it empty."""
    (new := repo.path / ".git/saved").write_text(text)
    new.replace(repo.path / path)


def wait_until(true: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
