"""Facts, objects and status of the git repository that is built."""

from __future__ import annotations

import os
import queue
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lineal.errors import BadConfiguration, Place
from lineal.source.git import GitFailed, capture, git_environment, text_of

_CHUNK = 1 << 20
# Blobs above this are streamed by git instead of being held in its memory (reference/git.md §1).
_BIG_FILE = "16m"
# How much of a pack git maps at once; by default all of it, which then counts as resident.
_PACK_LIMITS = ("-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=16m")
_NULL = b"\0"
_SYMLINK = "120000"


@dataclass(frozen=True, slots=True)
class Change:
    """A path of the working tree that differs from the commit: `modified`, `added`, `deleted` or `untracked`."""

    path: str
    what: str


@dataclass(frozen=True)
class Repository:
    """A git repository and the commit of it that is built. Nothing here writes to it."""

    root: Path
    git_dir: Path
    commit: str
    tree: str
    branch_name: str | None
    shallow: bool
    object_format: str
    environ: dict[str, str]
    _readers: queue.SimpleQueue[subprocess.Popen[bytes]] = field(default_factory=queue.SimpleQueue)

    @staticmethod
    def open(start: Path, environ: dict[str, str] | None = None) -> Repository:
        """The repository that contains `start`, at its HEAD. Raises `BadConfiguration` when there is none."""
        root = _find_root(start)
        env = git_environment(root, dict(os.environ) if environ is None else environ)
        asked = ["rev-parse", "--is-shallow-repository", "--show-object-format", "--absolute-git-dir"]
        try:
            shallow, object_format, git_dir = text_of(capture(asked, root, env)).split("\n", 2)
        except GitFailed as error:
            raise BadConfiguration(
                f"{root} has a .git, but git cannot use it ({error.message})", remedy="Repair it, or clone it again."
            ) from None
        try:
            names = capture(["rev-parse", "HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD"], root, env)
        except GitFailed:
            raise BadConfiguration(
                f"The git repository {root} has no commit yet.",
                remedy="Lineal builds commits: run `git add` and `git commit` first.",
            ) from None
        # Not --abbrev-ref: beside a tag of the same name it says `heads/main`.
        commit, tree, branch = text_of(names).split("\n")
        return Repository(
            root=root,
            git_dir=Path(git_dir),
            commit=commit,
            tree=tree,
            branch_name=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else None,
            shallow=shallow == "true",
            object_format=object_format,
            environ=env,
        )

    # --- facts for the pipeline context -------------------------------------------------------------------------

    def head(self) -> str:
        return self.commit

    def branch(self) -> str | None:
        return self.branch_name

    def parents(self, commit: str) -> tuple[str, ...]:
        """The parents that the commit object names, also where a shallow clone has cut them off."""
        header = self.object(commit).split(b"\n\n", 1)[0]
        return tuple(line[7:].decode() for line in header.split(b"\n") if line.startswith(b"parent "))

    def peel(self, rev: str) -> str | None:
        """The commit that a tag, branch or id stands for, None when it is not here."""
        try:
            return (
                self.run("rev-parse", "--verify", "--quiet", "--end-of-options", rev + "^{commit}").decode().strip()
            )
        except GitFailed:
            return None

    def tags_at_head(self) -> list[str]:
        out = self.run("for-each-ref", f"--points-at={self.commit}", "--format=%(refname:strip=2)", "refs/tags")
        return text_of(out).split("\n") if out else []

    def at(self, commit: str) -> Repository | None:
        """The same repository with another commit to read, None when that commit is not here."""
        if self.peel(commit) is None:
            return None
        tree = self.object(commit).split(b"\n", 1)[0].removeprefix(b"tree ").decode()
        return replace(self, commit=commit, tree=tree)

    # --- content ------------------------------------------------------------------------------------------------

    def object(self, oid: str) -> bytes:
        return b"".join(self.stream(oid))

    def stream(self, oid: str) -> Iterator[bytes]:
        """An object's content in chunks of at most 1 MiB. Several threads may stream at once."""
        with self._reader() as reader:
            assert reader.stdin is not None and reader.stdout is not None
            reader.stdin.write(oid.encode() + b"\n")
            reader.stdin.flush()
            header = reader.stdout.readline().split()
            if len(header) != 3:
                raise _no_object(oid, self.root)
            left = int(header[2])
            while left:
                chunk = reader.stdout.read(min(left, _CHUNK))
                if not chunk:
                    raise GitFailed(f"git ended while reading {oid}.")
                left -= len(chunk)
                yield chunk
            reader.stdout.read(1)

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Sizes in bytes of many objects with one process."""
        wanted = sorted(set(oids))
        if not wanted:
            return {}
        out = self.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin="\n".join(wanted).encode())
        lines = out.split(b"\n")
        for oid, line in zip(wanted, lines, strict=False):
            if line.endswith(b"missing"):
                raise _no_object(oid, self.root)
        return {oid: int(line) for oid, line in zip(wanted, lines, strict=False)}

    def listing(self, prefixes: Sequence[str] = ()) -> list[tuple[str, str, str]]:
        """(path, mode, object id) of everything in the commit, directories included, parents before children.

        `prefixes` limits it to some directories; paths stay relative to the root."""
        paths = [prefix for prefix in prefixes if prefix not in ("", ".")]
        whole = len(paths) < len(prefixes) or not paths
        out = self.run(
            "ls-tree", "-r", "-t", "-z", "--full-tree", self.tree, "--", *([] if whole else sorted(set(paths)))
        )
        entries = []
        for record in out.split(_NULL)[:-1]:
            meta, path = record.split(b"\t", 1)
            mode, _, oid = meta.split(b" ")
            entries.append((path.decode("utf-8", "surrogateescape"), mode.decode(), oid.decode()))
        return entries

    def file(self, path: str) -> bytes | None:
        """A file's content in the commit, None when there is no file at this path.

        Raises `BadConfiguration` for a symbolic link: following it would read a file that nobody named."""
        mode, oid = self._entry(path)
        if mode.startswith("100"):
            return self.object(oid)
        above = ["/".join(path.split("/")[:count]) for count in range(1, path.count("/") + 1)] if not mode else []
        link = path if mode == _SYMLINK else next((one for one in above if self._entry(one)[0] == _SYMLINK), None)
        if link is not None:
            raise BadConfiguration(
                "is a symbolic link in the commit, and Lineal does not follow links to the files that it reads.",
                place=Place(link), remedy="Name the file that it points at, or commit a copy.",
            )  # fmt: skip
        return None

    def _entry(self, path: str) -> tuple[str, str]:
        """(mode, object id) of exactly this path, empty texts when the commit has none."""
        for record in self.run("ls-tree", "-z", "--full-tree", self.tree, "--", path).split(_NULL)[:-1]:
            meta, name = record.split(b"\t", 1)
            if os.fsdecode(name) == path:
                mode, _, oid = meta.decode().split(" ")
                return mode, oid
        return "", ""

    # --- giterminism --------------------------------------------------------------------------------------------

    def changes(self, paths: Sequence[str]) -> list[Change]:
        """What differs between the commit and the working tree below `paths`; files ignored by git do not count."""
        out = self.run(
            "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--",
            *[path or "." for path in paths],
        )  # fmt: skip
        changes = []
        for record in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            if record.startswith("? "):
                changes.append(Change(record[2:], "untracked"))
            elif record.startswith("1 "):
                fields = record.split(" ", 8)
                changes.append(Change(fields[8], _what(fields[1])))
            elif record.startswith("u "):
                changes.append(Change(record.split(" ", 10)[10], "modified"))
        return changes

    # --- processes ----------------------------------------------------------------------------------------------

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return capture(list(args), self.root, self.environ, stdin)

    @contextmanager
    def _reader(self) -> Iterator[subprocess.Popen[bytes]]:
        """A `git cat-file --batch`, kept for the next reader unless this one stopped in the middle."""
        try:
            reader = self._readers.get_nowait()
        except queue.Empty:
            reader = subprocess.Popen(
                ["git", "-c", f"core.bigFileThreshold={_BIG_FILE}", *_PACK_LIMITS, "cat-file", "--batch"],
                cwd=self.root, env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        done = False
        try:
            yield reader
            done = True
        finally:
            if done:
                self._readers.put(reader)
            else:
                _end(reader)

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                _end(self._readers.get_nowait())


def _what(letters: str) -> str:
    """git's two letters, staged and in the working tree, in a word."""
    return "deleted" if "D" in letters else "added" if "A" in letters else "modified"


def _no_object(oid: str, root: Path) -> GitFailed:
    return GitFailed(
        f"git has no object {oid} in {root}.",
        remedy="A partial clone lacks what it did not check out: clone without --filter.",
    )


def _find_root(start: Path) -> Path:
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise BadConfiguration(
        f"There is no git repository at {start}.",
        remedy="Run Lineal inside a clone (in CI: after the checkout step).",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()
