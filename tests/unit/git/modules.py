"""Repositories with submodules and files of Git LFS, as clones on a machine have them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.listing import Listing
from lineal.git.commit import Commit
from tests import servers

LFS = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def opened(repo: servers.Repository, **environ: str) -> Commit:
    return Commit.open(repo.path, repo.environment() | environ)


class Noted:
    """A git for the PATH that notes the commands of git that run."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        (folder / "bin").mkdir(parents=True)
        script = folder / "bin/git"
        script.write_text(f'#!/bin/sh\necho "$*" >> {self._log}\nexec {shutil.which("git")} "$@"\n')
        script.chmod(0o755)
        self.path = f"{script.parent}:{os.environ['PATH']}"

    def commands(self) -> list[str]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [next(word for word in line.split() if word in _COMMANDS) for line in lines]


_COMMANDS = {"rev-parse", "ls-tree", "cat-file", "check-attr", "update-index", "config"}


def tree(repository: Commit, folder: str = "", ignore: str = "") -> BuildContext:
    return BuildContext(
        repository, folder, Listing(repository.listing([folder])), Ignore(ignore, file=".dockerignore")
    )


def contents(tree: BuildContext, path: str = "") -> dict[str, bytes]:
    found = {node.path: (node, b"".join(tree.open(node))) for node in tree.walk(path) if node.kind == "file"}
    assert all(node.size == len(data) for node, data in found.values())
    return {path: data for path, (_, data) in found.items()}


def create(path: Path, files: Mapping[str, str | bytes], *, format: str = "sha1") -> servers.Repository:
    """A repository of its own, to be a submodule of another."""
    repo = servers.Repository(path)
    path.mkdir(parents=True)
    repo.git("init", "--quiet", "--initial-branch=main", f"--object-format={format}")
    repo.write(files)
    return repo


def add(
    outer: servers.Repository, inner: servers.Repository, path: str, name: str | None = None
) -> servers.Repository:
    """Makes a clone of `inner` the submodule at `path`, and commits that; gives the clone."""
    allowed = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"]
    outer.git(*allowed, *(["--name", name] if name else []), str(inner.path), path)
    outer.git("commit", "--quiet", "--no-gpg-sign", "-m", "Add a submodule")
    return servers.Repository(outer.path / path, inner.clock)


def pin(repo: servers.Repository, path: str, commit: str, modules: str = "") -> None:
    """Commits a submodule of which nothing is here, with .gitmodules as given."""
    if modules:
        repo.write({".gitmodules": modules})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    repo.commit()


def update(repo: servers.Repository) -> None:
    """What a checkout with submodules does."""
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")


def pointer(content: bytes) -> str:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def store(storage: Path, content: bytes, *, name: bytes | None = None) -> Path:
    """Puts a content where git-lfs keeps it, by the SHA-256 of `name` if that is given."""
    oid = hashlib.sha256(content if name is None else name).hexdigest()
    place = storage / "objects" / oid[:2] / oid[2:4] / oid
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    return place
