"""Files whose content Git LFS keeps outside of the commit. They are looked for on this machine and never fetched."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock

from lineal.errors import BadConfiguration, BuildFailed, Location
from lineal.git.command import GitFailed, common_dir, run_git, text_of, with_config
from lineal.git.repository import Repository, folders_above
from lineal.regex import regex
from lineal.value import dataclass

_ATTRIBUTES = ".gitattributes"
_CHUNK = 1 << 20
_LONGEST = 1024
"""Bytes of a pointer, in the specification of Git LFS."""
# As git-lfs reads it: it forgives line ends and the lack of the last one. `dulwich.lfs` takes ids and sizes that
# git-lfs refuses, and does not see extensions.
_POINTER = regex(
    rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v1\r?\n((?:ext-[^\n]*\n)*)"
    rb"oid sha256:([0-9a-f]{64})\r?\nsize ([0-9]{1,18})\s*"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A commit holds this in place of a file: the SHA-256 of its content (hex), and its size in bytes."""

    oid: str
    size: int


class Lfs:
    """The pointers of one commit.

    A pointer is a file to which the commit's own attributes give `filter=lfs`. The same text is an ordinary file
    anywhere else, as it is for git."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._verified: set[tuple[str, int, int, int]] = set()
        self._attributes = AttributeFiles(repository.object, repository.oid)
        self._guard = Lock()
        self._asked: dict[str, bool] = {}
        """Whether a file is tracked, for those that git was asked about."""

    def pointer(self, path: str, oid: str) -> Pointer | None:
        """The pointer that the object at `path` is, None when it is a file. Raises `BadConfiguration`."""
        if not self._tracked(path):
            return None
        chunks = self._repository.stream(oid)
        data = next(chunks, b"")
        # A process of git is free for the next reader once an object is read to its end.
        found = _POINTER.fullmatch(data + b"".join(chunks)) if may_point(data) else None
        if found is None:
            return None
        if found[1]:
            raise BadConfiguration(
                "is a Git LFS file with an extension, which Lineal does not run.", id="LN-3008",
                place=self._place(path), remedy="Store it without lfs.extension.",
            )  # fmt: skip
        return Pointer(found[2].decode(), int(found[3]))

    def open(self, path: str, pointer: Pointer) -> Iterator[bytes]:
        """The content in chunks, from the store of git-lfs or the working tree.

        Raises `BadConfiguration` when it is in neither, `BuildFailed` when a file changes while it is read."""
        for place in (self._stored(pointer), self._in_working_tree(path)):
            if place is not None and self._is(place, pointer):
                yield from _read(place, self._place(path))
                return
        if pointer.size:
            raise BadConfiguration(
                f"is a Git LFS file whose content (sha256:{pointer.oid}, {pointer.size} bytes) is not here.",
                id="LN-3008",
                place=self._place(path),
                remedy="Run `git lfs pull` first (actions/checkout: `lfs: true`; GitLab: do not set "
                "GIT_LFS_SKIP_SMUDGE), or exclude it with .dockerignore.",
            )

    def unchanged(self, path: str, oid: str) -> bool:
        """Whether the working tree has at `path` the content that the pointer there stands for."""
        pointer = self.pointer(path, oid)
        place = self._in_working_tree(path)
        return pointer is not None and place is not None and self._is(place, pointer)

    def _place(self, path: str) -> Location:
        return Location(self._repository.prefix + path)

    # --- which files --------------------------------------------------------------------------------------------

    def _tracked(self, path: str) -> bool:
        """Whether the commit's .gitattributes give `filter=lfs` to a file."""
        if not self._attributes.name_lfs(path):
            return False
        with self._guard:
            if path not in self._asked:
                self._ask()
            return self._asked.get(path, False)

    def _ask(self) -> None:
        """Ask git about all files whose .gitattributes are here: in a clone that is not partial, about all."""
        repository = self._repository
        files = [entry for entry in repository.listing() if entry[1].startswith("100")]
        attributes = [entry for entry in files if entry[0].rpartition("/")[2] == _ATTRIBUTES]
        absent = {path.removesuffix(_ATTRIBUTES) for path, _, oid in attributes if not repository.objects.has(oid)}
        here = [entry for entry in attributes if entry[0].removesuffix(_ATTRIBUTES) not in absent]
        asked = [path for path, _, _ in files if path not in self._asked and not _is_below(path, absent)]
        answers = iter(_check_attributes(repository, here, asked).split(b"\0"))
        triples = zip(answers, answers, answers, strict=False)
        self._asked |= {os.fsdecode(path): value == b"lfs" for path, _, value in triples}

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


class AttributeFiles:
    """The .gitattributes of a commit. Only those are read that stand on the way to a file that is asked about."""

    def __init__(self, read: Callable[[str], bytes], find: Callable[[str], str]) -> None:
        """`read` gives an object's content, `find` the object of the file at a path, empty when there is none."""
        self._read, self._find = read, find
        self._files: dict[str, bool] = {}
        self._answers: dict[str, bool] = {}

    def name_lfs(self, path: str) -> bool:
        """Whether one of those that apply to the file at `path` speaks of LFS. Starts no process."""
        folder = path.rpartition("/")[0]
        if folder not in self._answers:
            # All of them are read: a lower one may take back what a higher one says.
            said = [self._names_lfs(one) for one in ("", *folders_above(path))]
            self._answers[folder] = any(said)
        return self._answers[folder]

    def _names_lfs(self, folder: str) -> bool:
        if folder not in self._files:
            oid = self._find(f"{folder}/{_ATTRIBUTES}" if folder else _ATTRIBUTES)
            self._files[folder] = bool(oid) and b"lfs" in self._read(oid)
        return self._files[folder]


def may_point(data: bytes) -> bool:
    """Whether a content looks like a pointer. Attributes decide whether it is one."""
    return len(data) < _LONGEST and data.startswith(b"version ")


def _is_below(path: str, folders: Collection[str]) -> bool:
    """Whether a path is in one of the folders, which end with a slash; the root is empty."""
    return bool(folders) and ("" in folders or any(folder + "/" in folders for folder in folders_above(path)))


def _read(path: Path, place: Location) -> Iterator[bytes]:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK):
            yield chunk
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise BuildFailed("changed while it was read.", id="LN-3011", place=place, remedy="Run Lineal again.")


def _check_attributes(
    repository: Repository, attributes: Sequence[tuple[str, str, str]], paths: Sequence[str]
) -> bytes:
    """The answer of git about the attribute `filter` of the paths: `path NUL filter NUL value NUL` for each.

    Only the given files of attributes count: neither the machine's attributes nor the clone's, which another machine
    does not have. git answers, because `dulwich.attrs` knows no macros, no quoted patterns and no negative ones."""
    index = "".join(f"{mode} {oid} 0\t{path}\0" for path, mode, oid in attributes)
    asked = "".join(f"{path}\0" for path in paths)
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="lineal-") as name:
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
        run_git(["update-index", "-z", "--index-info"], scratch, environ, os.fsencode(index))
        return run_git(["check-attr", "-z", "--cached", "--stdin", "filter"], scratch, environ, os.fsencode(asked))
