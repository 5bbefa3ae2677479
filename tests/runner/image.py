"""Lineal's own images for tests, built by Lineal from the working tree's files: `ready()` gives one.

What is built is kept below ~/.cache/lineal-test/image, in a store that Lineal itself fills: making it ready takes a
second or two, after a change in `src/` some seconds more. The very first time needs root (debootstrap stands in for
Docker Hub, which is not reachable everywhere), a Debian mirror and PyPI, and takes some two minutes."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.debian import cache, write_layout
from tests import servers
from tests.servers import program

ROOT = Path(__file__).resolve().parents[2]
NAME, BUILD = "lineal", "build"
"""Images of lineal.yaml: with Helm, and without."""
_BASE = "debian:trixie-slim"
_FORMAT = 2
"""Change it when the base is made in another way."""
_MADE_OF = ("Dockerfile", ".dockerignore", "LICENSE", "entrypoint.sh", "lineal.yaml", "pyproject.toml",
            "onefile", "requirements", "src/lineal", "tests/tools/helm.py")  # fmt: skip
_NO_NETWORK = ("Temporary failure resolving", "Could not resolve", "Could not connect to", "NewConnectionError",
               "NameResolutionError", "Connection timed out")  # fmt: skip
_LARGEST_STORE = 4 << 30
_SLIM = ("doc", "info", "lintian", "linda", "locale", "man", "groff")


class Unavailable(Exception):
    """The image cannot be made on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    """For `docker run`."""
    store: Path
    """A directory in the OCI Image Layout format."""
    tag: str
    """The image's tag in `store`."""


@functools.cache
def ready(image: str = NAME, directory: Path | None = None) -> Image:
    """An image of the working tree's files, made once in a process. Raises `Unavailable`. Several processes take
    turns."""
    directory = directory or cache() / "image"
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / "lock"):
        _commit(directory / "repository")
        _forget_too_much(directory / "store")
        reference = build(directory, directory / "repository", directory / "store", image)
        name, _, digest = reference.rpartition("@")
        made = Image(f"lineal-test:{digest[-64:][:12]}", directory / "store", name.rpartition(":")[2])
        _load(made, directory / f"loaded-{image}")
    return made


def build(directory: Path, repository: Path, store: Path, image: str = NAME, *options: str) -> str:
    """`lineal build` of the project's own lineal.yaml; gives the reference."""
    with _base_registry(directory) as base:
        command = [
            sys.executable,
            "-m",
            "lineal",
            "build",
            image,
            "--repo",
            f"layout:{store}",
            "--var",
            f"base={base}",
        ]
        done = subprocess.run(
            [*command, "--engine-network", "host", *_pip_secrets(directory), *options],
            cwd=repository,
            env={**_plain_environment(), "HOME": str(directory), "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
        )
    (directory / "build.log").write_text(done.stderr)
    if done.returncode:
        sentence = f"Lineal could not build its own image (see {directory}/build.log): {done.stderr[-1500:]}"
        # Without a network there is nothing to test; everything else is a failure of ours.
        raise Unavailable(sentence) if any(sign in done.stderr for sign in _NO_NETWORK) else AssertionError(sentence)
    return done.stdout.strip()


def _forget_too_much(store: Path) -> None:
    """Nothing deletes stages yet; every change of the image's first stages leaves some 200 MB."""
    blobs = (store / "blobs/sha256").glob("*") if store.exists() else ()
    if sum(blob.stat().st_size for blob in blobs) > _LARGEST_STORE:
        shutil.rmtree(store)


def _plain_environment() -> dict[str, str]:
    kept = ("PATH", "DOCKER_HOST", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | servers.GIT_ISOLATION


def _commit(path: Path) -> None:
    """A line of commits with the files as they are in the working tree: each build inherits from the one before."""
    repository = servers.Repository(path) if path.exists() else servers.Repository.create(path)
    repository.clock = int((ROOT / "Dockerfile").stat().st_mtime)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *_MADE_OF],
        cwd=ROOT, env={**os.environ, **servers.GIT_ISOLATION, "GIT_OPTIONAL_LOCKS": "0"},
        check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for old in path.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path / name)
    repository.git("add", "--all")
    if repository.git("status", "--porcelain") or not repository.git("branch", "--list", "main"):
        repository.commit()


# --- the base ---------------------------------------------------------------------------------------------------


@contextmanager
def _base_registry(directory: Path) -> Iterator[str]:
    """A registry with the base; always on the same port, because a base counts as its text."""
    port = directory / "port"
    if not port.exists():
        port.write_text(str(servers.free_port()))
    address = f"127.0.0.1:{port.read_text()}"
    with servers.docker_registry(directory / "registry", address=address):
        reference = f"{address}/{_BASE}"
        done = directory / f"base-{_FORMAT}"
        if not done.exists():
            _push_base(directory, reference)
            done.touch()
        yield reference


def _push_base(directory: Path, reference: str) -> None:
    if os.geteuid() != 0:
        raise Unavailable("Making a Debian base image needs root.")
    tree, layout = directory / "tree", directory / "layout"
    for leftover in (tree, layout):
        shutil.rmtree(leftover, ignore_errors=True)
    made = subprocess.run(
        [program("debootstrap"), "--variant=minbase", "trixie", str(tree)], capture_output=True, text=True
    )
    if made.returncode:
        raise Unavailable(f"debootstrap could not make a Debian base image: {made.stdout[-1000:]}")
    _slim(tree)
    write_layout(tree, layout, level=9)
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{layout}:base", f"docker://{reference}"], check=True)
    for leftover in (tree, layout):
        shutil.rmtree(leftover)


def _slim(tree: Path) -> None:
    """As Debian makes its -slim images: no documentation but the licences, no package lists, no logs."""
    for folder in _SLIM:
        for path in (tree / "usr/share" / folder).rglob("*"):
            if not path.is_dir() and (folder != "doc" or path.name != "copyright"):
                path.unlink()
    for folder in ("var/cache/apt", "var/lib/apt/lists", "var/log", "var/cache/ldconfig"):
        for path in (tree / folder).rglob("*"):
            if not path.is_dir():
                path.unlink()
    for name in ("etc/resolv.conf", "etc/hostname"):
        (tree / name).unlink(missing_ok=True)


# --- the machine ------------------------------------------------------------------------------------------------


def _pip_secrets(directory: Path) -> list[str]:
    """What pip is configured to on this machine, for pip in the build: its index, and who signs for it."""
    configured = _pip_configuration()
    lines = [
        f"{key} = {configured[key]}" for key in ("index-url", "extra-index-url", "trusted-host") if key in configured
    ]
    options = []
    if "cert" in configured:
        lines.append("cert = /run/secrets/ca.crt")
        options += ["--secret", f"id=ca.crt,src={configured['cert']}"]
    pip = directory / "pip.conf"
    pip.touch(mode=0o600)
    pip.write_text("\n".join(["[global]", *lines, ""]))
    return [*options, "--secret", f"id=pip.conf,src={pip}"]


def _pip_configuration() -> Mapping[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    pairs = (line.partition("=")[::2] for line in listed.splitlines())
    return {key.rpartition(".")[2]: value.strip("'\"") for key, value in pairs}


def _load(image: Image, loaded: Path) -> None:
    """Into the engine; the one before, which nobody asks for again, goes."""
    docker = ["/usr/bin/docker" if Path("/usr/bin/docker").exists() else program("docker")]
    if subprocess.run([*docker, "image", "inspect", image.name], capture_output=True).returncode == 0:
        return
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet"]
    subprocess.run([*copy, f"oci:{image.store}:{image.tag}", f"docker-daemon:{image.name}"], check=True)
    if loaded.exists() and loaded.read_text() != image.name:
        subprocess.run([*docker, "image", "rm", loaded.read_text()], capture_output=True)
    loaded.write_text(image.name)


if __name__ == "__main__":
    print(*(ready(image).name for image in sys.argv[1:] or [NAME]))
