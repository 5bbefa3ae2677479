"""Real parts that tests talk to: an OCI registry, a base image, a git repository; conftest.py has the fixtures."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

USER, PASSWORD = "lineal", "correct-horse"
# bcrypt of PASSWORD, the only kind that docker-registry takes; a constant, because Python 3.13 cannot make one.
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuZ0Fx87Pb/Aqb0E90lfvCwzXnaFKUHpS\n"


def program(name: str) -> str:
    """The path of a program that `make test` installs."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path, f"{name} is missing: run the tests with `make test`, which installs it."
    return path


def said(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    """The last that a failed command printed, as far as it was captured."""
    parts = [part for part in (error.stdout, error.stderr) if part]
    texts = [part.decode(errors="replace") if isinstance(part, bytes) else str(part) for part in parts]
    return "\n".join(f"It said: {text.strip()[-2000:]}" for text in texts)


def in_memory(gigabytes: int) -> str | None:
    """A folder in memory, where it has so much free: a file made on a disk can cost ten times more processor time."""
    shared = "/dev/shm"
    try:
        return shared if shutil.disk_usage(shared).free > gigabytes << 30 else None
    except OSError:
        return None


_FIRST_PORT, _PORTS_OF_A_WORKER = 10_000, 1_500
_ports = itertools.count(random.randrange(_PORTS_OF_A_WORKER))


def free_port(host: str = "127.0.0.1") -> int:
    """For a server that is yet to start: below the ports that the kernel gives away by itself, among those of this
    test process alone, and none twice. So nobody else takes it meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = _FIRST_PORT + worker % 12 * _PORTS_OF_A_WORKER + next(_ports) % _PORTS_OF_A_WORKER
        with socket.socket() as listener, suppress(OSError):
            listener.bind((host, port))
            return port


@contextmanager
def docker_registry(
    directory: Path, htpasswd: str | None = None, address: str | None = None, *, delete: bool = True
) -> Iterator[str]:
    """A docker-registry of its own, its data in `directory`; gives its address, `127.0.0.1:PORT`."""
    directory.mkdir(parents=True, exist_ok=True)
    address = address or f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": delete}},
        "http": {"addr": address},
    }
    if htpasswd is not None:
        (directory / "htpasswd").write_text(htpasswd)
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    # JSON is YAML.
    (directory / "config.yml").write_text(json.dumps(config))
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [program("docker-registry"), "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        wait_for_port(address, server, directory / "log")
        yield address
    finally:
        server.terminate()
        server.wait(300)


def wait_for_port(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    host, port = address.split(":")
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{server.args!r} did not answer at {address}: {log.read_text(errors='replace')[-2000:]}")


def push_base_image(reference: str, directory: Path) -> str:
    """Pushes a small image with a shell to `reference`, without an engine; gives `reference`.

    /bin/busybox and a link for each applet, users root (0) and app (1000), /tmp, PATH set."""
    write_base_layout(directory)
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{directory}:base", f"docker://{reference}"], check=True, timeout=300)
    return reference


def write_base_layout(directory: Path) -> None:
    """The base image as an OCI Image Layout with the one tag `base`; its digest depends only on busybox."""
    layer = base_layer()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1980-01-02T00:00:00Z", "created_by": "busybox"}],
    }
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(directory, f"{oci}.config.v1+json", json.dumps(config).encode()),
        "layers": [put(directory, f"{oci}.layer.v1.tar", layer)],
    }
    entry = put(directory, f"{oci}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def put(layout: Path, media_type: str, data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    path = layout / "blobs" / "sha256" / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def base_layer() -> bytes:
    """An uncompressed tar of the base image's files."""
    busybox = Path(program("busybox"))
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, mode in {"bin": 0o755, "etc": 0o755, "home": 0o755, "root": 0o700, "tmp": 0o1777}.items():
            add(tar, path, tarfile.DIRTYPE, mode)
        add(tar, "home/app", tarfile.DIRTYPE, 0o755, owner=1000)
        add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, busybox.read_bytes())
        for applet in sorted(set(applets) - {"busybox"}):
            add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        users = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
        add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, users)
        add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\napp:x:1000:\n")
    return out.getvalue()


def add(
    tar: tarfile.TarFile, path: str, kind: bytes, mode: int, data: bytes = b"", *, link: str = "", owner: int = 0
) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
    entry.uid = entry.gid = owner
    tar.addfile(entry, BytesIO(data))


@dataclass(slots=True)
class Repository:
    """A git repository to write commits to; commit ids depend on content and order only."""

    path: Path
    clock: int = field(default=1_700_000_000)

    @classmethod
    def create(cls, path: Path, *options: str) -> Repository:
        """`options` are more options of `git init`."""
        path.mkdir(parents=True)
        for name, content in _new_repository(*options).items():
            if content is None:
                (path / name).mkdir()
            else:
                (path / name).write_bytes(content)
        return cls(path)

    def git(self, *args: str) -> str:
        """Runs git here, without the user's configuration; gives its stdout, stripped."""
        done = subprocess.run(
            [*GIT, *args],
            cwd=self.path,
            env=self.environment() | NO_HOOKS,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
        return done.stdout.strip()

    def environment(self) -> dict[str, str]:
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in AUTHOR.items()}
        when = {"GIT_AUTHOR_DATE": f"{self.clock} +0000", "GIT_COMMITTER_DATE": f"{self.clock} +0000"}
        return {"PATH": os.environ["PATH"], **GIT_ISOLATION, **who, **when}

    def put(self, files: Mapping[str, str | bytes | None]) -> None:
        """Writes files to the working tree only; None deletes, a text starting with `#!` becomes executable."""
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)
            path.chmod(0o755 if data.startswith(b"#!") else 0o644)

    def write(self, files: Mapping[str, str | bytes | None], message: str = "Change") -> str:
        """Writes files as `put` does and commits everything; gives the commit id."""
        self.put(files)
        self.git("add", "--all")
        return self.commit(message)

    def commit(self, message: str = "Change") -> str:
        """Commits what is staged, also when that is nothing."""
        self.clock += 60
        self.git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", message)
        return self.head()

    def branch(self, name: str, start: str = "HEAD") -> None:
        """Makes a branch and switches to it."""
        self.git("switch", "--quiet", "--create", name, start)

    def switch(self, name: str) -> None:
        self.git("switch", "--quiet", name)

    def merge(self, name: str, message: str = "Merge") -> str:
        """Merges `name` into the current branch with a merge commit; gives its id."""
        self.clock += 60
        self.git("merge", "--quiet", "--no-ff", "--no-gpg-sign", "-m", message, name)
        return self.head()

    def head(self) -> str:
        """Read here where git has it in a file of its own, which it has after a commit."""
        with suppress(OSError):
            said = os.fsdecode((self.path / ".git/HEAD").read_bytes()).removeprefix("ref: ").strip()
            return (self.path / ".git" / said).read_text().strip() if "/" in said else said
        return self.git("rev-parse", "HEAD")

    def clone(self, path: Path, *options: str) -> Repository:
        """A clone over file://, so that `--depth` and `--filter` mean what they say."""
        self.git("clone", "--quiet", *options, f"file://{self.path}", str(path))
        return Repository(path, self.clock)


@functools.cache
def _new_repository(*options: str) -> dict[str, bytes | None]:
    """What `git init` makes: files and, as None, folders. It is asked once; tests want thousands of repositories."""
    with TemporaryDirectory() as folder:
        Repository(Path(folder)).git("init", "--quiet", "--initial-branch=main", *options)
        paths = sorted(Path(folder).rglob("*"))
        return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


GIT = ("git", "-c", "maintenance.auto=false", "-c", "core.fsync=none")
"""Without a look for what could be packed after each commit, and without waiting for the disk."""
NO_HOOKS = {"GIT_TEMPLATE_DIR": ""}
"""A new repository gets no copies of the hooks that git has as examples."""
AUTHOR = {"NAME": "Ada Example", "EMAIL": "ada@example.com"}
GIT_ISOLATION = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}
