"""Files of a commit whose content Git LFS keeps elsewhere: found on this machine, never fetched."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.errors import BadConfiguration, BuildFailed, Location
from lineal.git.command import GitFailed, common_dir, run_git, text_of, with_config

if TYPE_CHECKING:
    from lineal.git.repository import Repository

NO_FILTER = (("filter.lfs.clean", ""), ("filter.lfs.process", ""), ("filter.lfs.required", "false"))
"""Settings for git with which a file of the working tree is what it is, whether git-lfs is installed or not."""
_CHUNK = 1 << 20
_LONGEST = 1024
_ATTRIBUTES = re.compile(rb"(?:^|\0)(100\d+) blob (\w+)\t((?:[^\0]*/)?\.gitattributes)(?=\0)")
# As git-lfs reads it: it forgives line ends and the lack of the last one.
_POINTER = re.compile(
    rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1\r?\n((?:ext-[^\n]*\n)*)"
    rb"oid sha256:([0-9a-f]{64})\r?\nsize ([0-9]{1,18})\s*"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a commit holds instead of a file: the content's SHA-256 and its size."""

    oid: str
    size: int


class Lfs:
    """The pointers of a commit. Only files count to which the commit's own attributes give `filter=lfs`: the same
    text is an ordinary file anywhere else, as it is for git."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._verified: set[tuple[str, int, int, int]] = set()

    @staticmethod
    def may_point(data: bytes) -> bool:
        return len(data) < _LONGEST and data.startswith(b"version ")

    def pointer(self, path: str, oid: str) -> Pointer | None:
        """The pointer that the object at `path` is, None when it is a file. Raises `BadConfiguration`."""
        if path not in self._tracked:
            return None
        chunks = self._repository.stream(oid)
        data = next(chunks, b"")
        # Whoever reads to the end leaves the process to the next reader.
        found = _POINTER.fullmatch(data + b"".join(chunks)) if self.may_point(data) else None
        if found is None:
            return None
        if found[1]:
            raise BadConfiguration(
                "is a Git LFS file with an extension, which Lineal does not run.",
                place=self._place(path), remedy="Store it without lfs.extension.",
            )  # fmt: skip
        return Pointer(found[2].decode(), int(found[3]))

    def open(self, path: str, pointer: Pointer) -> Iterator[bytes]:
        """The content in chunks, from git-lfs's own store or the working tree. Raises `BadConfiguration`."""
        for place in (self._stored(pointer), self._in_working_tree(path)):
            if place is not None and self._is(place, pointer):
                yield from _read(place, self._place(path))
                return
        if pointer.size:
            raise BadConfiguration(
                f"is a Git LFS file whose content (sha256:{pointer.oid}, {pointer.size} bytes) is not here.",
                place=self._place(path),
                remedy="Run `git lfs pull` first (actions/checkout: `lfs: true`; GitLab: do not set "
                "GIT_LFS_SKIP_SMUDGE), or exclude it with .dockerignore.",
            )

    def unchanged(self, path: str, oid: str) -> bool:
        """Whether the working tree has, instead of the pointer at `path`, exactly what that stands for."""
        pointer = self.pointer(path, oid)
        place = self._in_working_tree(path)
        return pointer is not None and place is not None and self._is(place, pointer)

    def _place(self, path: str) -> Location:
        return Location(self._repository.prefix + path)

    # --- which files --------------------------------------------------------------------------------------------

    @cached_property
    def _tracked(self) -> frozenset[str]:
        """The files to which the commit's .gitattributes give `filter=lfs`."""
        repository = self._repository
        out = repository.run("ls-tree", "-r", "-z", "--full-tree", repository.tree)
        found = _ATTRIBUTES.findall(out)
        if not any(b"lfs" in repository.object(oid.decode()) for _, oid, _ in found):
            return frozenset()
        paths = b"".join(record.split(b"\t", 1)[1] + b"\0" for record in out.split(b"\0")[:-1])
        index = b"".join(b"%b %b 0\t%b\0" % entry for entry in found)
        answers = iter(_check_attributes(repository, index, paths).split(b"\0"))
        triples = zip(answers, answers, answers, strict=False)
        return frozenset(os.fsdecode(path) for path, _, value in triples if value == b"lfs")

    # --- where their content is ---------------------------------------------------------------------------------

    @cached_property
    def _storage(self) -> Path:
        shared = common_dir(self._repository.git_dir)
        with suppress(GitFailed):
            return shared / text_of(self._repository.run("config", "--get", "lfs.storage"))
        return shared / "lfs"

    def _stored(self, pointer: Pointer) -> Path:
        return self._storage / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid

    def _in_working_tree(self, path: str) -> Path | None:
        """The file at `path`, unless a link leads there."""
        place = self._repository.root / path
        return place if os.path.realpath(place) == f"{os.path.realpath(self._repository.root)}/{path}" else None

    def _is(self, place: Path, pointer: Pointer) -> bool:
        """Whether a file has this content; a file that has not changed since is not read again."""
        try:
            found = place.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != pointer.size:
                return False
            key = (pointer.oid, found.st_dev, found.st_ino, found.st_mtime_ns)
            if key not in self._verified:
                with place.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != pointer.oid:
                        return False
                self._verified.add(key)
        except (OSError, ValueError):
            return False
        return True


def _read(path: Path, place: Location) -> Iterator[bytes]:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK):
            yield chunk
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise BuildFailed("changed while it was read.", place=place, remedy="Run Lineal again.")


def _check_attributes(repository: Repository, index: bytes, paths: bytes) -> bytes:
    """What git says about the attribute `filter` when nothing counts but the .gitattributes of the index: neither
    the machine's nor the clone's own attributes, which another machine does not have."""
    with tempfile.TemporaryDirectory(prefix="lineal-") as name:
        scratch = Path(name)
        for folder in ("refs", "objects"):
            (scratch / folder).mkdir()
        (scratch / "HEAD").write_text("ref: refs/heads/none\n")
        objectformat = f"[extensions]\nobjectformat = {repository.object_format}\n"
        (scratch / "config").write_text(f"[core]\nrepositoryformatversion = 1\n{objectformat}")
        environ = {
            "GIT_OBJECT_DIRECTORY": str(common_dir(repository.git_dir) / "objects"),
            **with_config(repository.environ, ("core.attributesFile", os.devnull)),
            "GIT_DIR": name,
            "GIT_WORK_TREE": name,
            "GIT_ATTR_NOSYSTEM": "1",
        }
        run_git(["update-index", "-z", "--index-info"], scratch, environ, index)
        return run_git(["check-attr", "-z", "--cached", "--stdin", "filter"], scratch, environ, paths)
