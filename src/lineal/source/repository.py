"""The one module that talks to git: facts, objects and status of the repository that is built."""

from __future__ import annotations

import os
import queue
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lineal.errors import BadConfiguration, LinealError

_CHUNK = 1 << 20
# Blobs above this are streamed by git instead of being held in its memory (reference/git.md §1).
_BIG_FILE = "16m"
_NULL = b"\0"


@dataclass(frozen=True, slots=True)
class Change:
    """A path of the working tree that differs from the commit: `modified`, `deleted` or `untracked`."""

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
        facts = _capture(
            ["rev-parse", "--is-shallow-repository", "--absolute-git-dir", "--show-object-format"], root, env
        )
        shallow, git_dir, object_format = facts.decode().splitlines()[:3]
        try:
            names = _capture(["rev-parse", "HEAD^{commit}", "HEAD^{tree}", "--abbrev-ref", "HEAD"], root, env)
        except GitFailed:
            raise BadConfiguration(
                f"The git repository {root} has no commit yet.",
                remedy="Lineal builds commits: run `git add` and `git commit` first.",
            ) from None
        commit, tree, branch = names.decode(errors="surrogateescape").splitlines()[:3]
        return Repository(
            root=root,
            git_dir=Path(git_dir),
            commit=commit,
            tree=tree,
            branch_name=None if branch == "HEAD" else branch,
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
        return out.decode(errors="surrogateescape").split()

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
                raise GitFailed(f"git has no object {oid} in {self.root}.")
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
                raise GitFailed(f"git has no object {oid} in {self.root}.")
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
        """A file's content in the commit, None when there is no file at this path."""
        out = self.run("ls-tree", "-z", "--full-tree", self.tree, "--", path)
        for record in out.split(_NULL)[:-1]:
            meta, name = record.split(b"\t", 1)
            mode, kind, oid = meta.decode().split(" ")
            if kind == "blob" and name.decode("utf-8", "surrogateescape") == path and mode != "120000":
                return self.object(oid)
        return None

    # --- giterminism --------------------------------------------------------------------------------------------

    def changes(self, paths: Sequence[str]) -> list[Change]:
        """What differs between the commit and the working tree below `paths`; files ignored by git do not count."""
        out = self.run(
            "status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=all", "--",
            *[f":(top,literal){path}" if path not in ("", ".") else ":(top)" for path in paths],
        )  # fmt: skip
        changes = []
        for record in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            if record.startswith("? "):
                changes.append(Change(record[2:], "untracked"))
            elif record.startswith("1 "):
                fields = record.split(" ", 8)
                changes.append(Change(fields[8], "deleted" if "D" in fields[1] else "modified"))
            elif record.startswith("u "):
                changes.append(Change(record.split(" ", 10)[10], "modified"))
        return changes

    # --- processes ----------------------------------------------------------------------------------------------

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return _capture(list(args), self.root, self.environ, stdin)

    def popen(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["git", *args], cwd=self.root, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    @contextmanager
    def _reader(self) -> Iterator[subprocess.Popen[bytes]]:
        """A `git cat-file --batch`, kept for the next reader unless this one stopped in the middle."""
        try:
            reader = self._readers.get_nowait()
        except queue.Empty:
            reader = subprocess.Popen(
                ["git", "-c", f"core.bigFileThreshold={_BIG_FILE}", "cat-file", "--batch"],
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


class GitFailed(LinealError):
    """git ended with an error."""


def git_environment(root: Path, environ: dict[str, str]) -> dict[str, str]:
    """The environment for git: this repository is trusted (CI workspaces belong to another user, reference/ci.md
    1.3), and nothing is fetched, prompted for or redirected behind our back."""
    env = {key: value for key, value in environ.items() if not key.startswith("GIT_") or key in _KEPT}
    count = int(env.get("GIT_CONFIG_COUNT", "0") or 0)
    env[f"GIT_CONFIG_KEY_{count}"] = "safe.directory"
    env[f"GIT_CONFIG_VALUE_{count}"] = str(root)
    env["GIT_CONFIG_COUNT"] = str(count + 1)
    kept = {key: value for key, value in environ.items() if key.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))}
    return {
        **kept,
        **env,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C.UTF-8",
    }


_KEPT = {"GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSH_COMMAND",
         "GIT_SSH", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "GIT_EXEC_PATH"}  # fmt: skip


def _find_root(start: Path) -> Path:
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    raise BadConfiguration(
        f"There is no git repository at {start}.",
        remedy="Run Lineal inside a clone (in CI: after the checkout step).",
    )


def _capture(args: list[str], cwd: Path, env: dict[str, str], stdin: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["git", *args], cwd=cwd, env=env, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise BadConfiguration("git is not installed.", remedy="Install git 2.31 or newer.") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(f"`git {args[0]}` failed in {cwd}: {reason[-1] if reason else done.returncode}")
    return done.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()


def working_tree(repository: Repository, scratch: Path) -> Repository:
    """The working tree as if it were committed on HEAD (`--dev`): a commit that exists only in `scratch`.

    The same files on the same HEAD always give the same commit id. The user's index and objects are not touched."""
    objects = scratch / "objects"
    objects.mkdir(parents=True)
    index = Path(tempfile.mkstemp(dir=scratch, prefix="index-")[1])
    own_index = repository.git_dir / "index"
    if own_index.exists():
        index.write_bytes(own_index.read_bytes())
    else:
        index.unlink()
    theirs = _capture(["rev-parse", "--git-path", "objects"], repository.root, repository.environ).decode().strip()
    env = {
        **repository.environ,
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((repository.root / theirs).resolve()),
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _DEV_IDENTITY.items()},
    }
    _capture(["add", "--all", "--", ":(top)"], repository.root, env)
    tree = _capture(["write-tree"], repository.root, env).decode().strip()
    commit = _capture(
        ["commit-tree", tree, "-p", repository.commit, "-m", "lineal --dev"], repository.root, env
    ).decode().strip()  # fmt: skip
    env.pop("GIT_INDEX_FILE")
    return Repository(
        root=repository.root, git_dir=repository.git_dir, commit=commit, tree=tree,
        branch_name=repository.branch_name, shallow=repository.shallow,
        object_format=repository.object_format, environ=env,
    )  # fmt: skip


_DEV_IDENTITY = {"NAME": "lineal", "EMAIL": "lineal@localhost", "DATE": "2000-01-01T00:00:00Z"}


def dev_branch(repository: Repository) -> str:
    """The branch name under which this clone publishes its working tree: random, so that nobody else has it."""
    path = repository.git_dir / "lineal-dev"
    if not path.exists():
        import secrets

        path.write_text(secrets.token_hex(16))
    return f"lineal-dev/{path.read_text().strip()}"
