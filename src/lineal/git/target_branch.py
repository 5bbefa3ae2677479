"""A branch of another repository, to which a run commits files: fetched, changed and pushed from a bare repository of
the run's own, never by force.

The server swaps a ref only when it is where the push says. A push that comes too late is made again on the commit
that won."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lineal.errors import BadConfiguration, Interrupted, Unreachable
from lineal.git.command import GitFailed, ask_server, git_environment, run_git, text_of, with_config
from lineal.git.objects import DIRECTORY, parse_listing
from lineal.git.remote import parse_refs
from lineal.text import printable, quoted

_SECONDS = 300.0
"""Seconds that a command to the server may take."""
_TRIES = 60
"""Pushes that may lose against others."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_REF = "refs/lineal/base"
_BUSY = ("cannot lock", "failed to lock", "unable to create", "reference already exists", "incorrect old value")
"""What servers say of a ref that somebody else is moving."""
_ADVICE = ("hint:", "To ", "error: failed to push", "fatal: the remote end hung up", "remote: Resolving")
_PUSH = ["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed"]
_BRANCH = re.compile(r"(?!.*(\.\.|//|@\{|\.lock(/|$)))(?![-./])[^\x00-\x20\x7f~^:?*\[\\]+(?<![./])")


@dataclass(frozen=True)
class Snapshot:
    """The branch as it is at one commit, which is None while there is no such branch."""

    commit: str | None
    _run: Callable[..., bytes] = field(repr=False)

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        """Path -> mode and object of everything, folders too."""
        if self.commit is None:
            return {}
        listed = self._run("ls-tree", "-r", "-t", "-z", "--full-tree", self.commit)
        return {path: (mode, oid) for path, mode, oid in parse_listing(listed)}

    def files(self, folder: str) -> set[str]:
        """The paths of all that is in a folder, `` being the root."""
        return {path for path in self._entries if path.startswith(f"{folder}/" if folder else "")}

    def mode(self, path: str) -> str:
        """The mode of what is at this path; empty for nothing."""
        return self._entries.get(path, ("", ""))[0]

    def has(self, path: str, content: bytes) -> bool:
        """Whether the file at this path is a plain one with this content."""
        entry = self._entries.get(path)
        if entry is None or entry[0] != "100644":
            return False
        kind = hashlib.sha256 if len(entry[1]) == 64 else hashlib.sha1
        return kind(b"blob %d\0%s" % (len(content), content)).hexdigest() == entry[1]

    def read(self, path: str) -> bytes | None:
        """A file's content, None when there is none."""
        if not self.mode(path).startswith("100"):
            return None
        return self._run("cat-file", "blob", f"{self.commit}:{path}")


Files = Mapping[str, bytes | None]
"""Path -> content; None removes the file."""


@dataclass(frozen=True, slots=True)
class Committed:
    """`commit` is what the branch is at, None for a branch that is not there; `changed` says whether this run made
    it."""

    commit: str | None
    changed: bool
    paths: tuple[str, ...] = ()
    """The files that this run changed or removed."""


class TargetBranch:
    def __init__(
        self, url: str, branch: str, folder: Path, environ: Mapping[str, str], *,
        login: tuple[tuple[str, str], ...] = (), stopped: threading.Event | None = None,
    ) -> None:  # fmt: skip
        """`folder` is private to this run and may not exist yet. `login` are settings for git (see `git.login`), in
        its environment only."""
        self._url, self._branch, self._folder = url, branch, folder
        own = git_environment(folder, dict(environ))
        identity = {name: environ[name] for name in _IDENTITY if environ.get(name)}
        # Objects of the job's clone are none of this repository's.
        self._environ = with_config(own, ("remote.lineal.url", url), *login) | identity | {"GIT_DIR": str(folder)}
        self._environ["GIT_INDEX_FILE"] = str(folder / "lineal-index")
        self._stopped = stopped or threading.Event()
        self._ready = False
        self.base: str | None = None
        """The commit at which the branch was seen last."""

    def commit(
        self, change: Callable[[Snapshot], Files], message: str, *, sign: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> Committed:  # fmt: skip
        """Make a commit of what `change` wants of the branch as it is, and push it; again after each push that lost
        against another one. Nothing is committed when nothing changes.

        Raises `Unreachable` when the server cannot be used or refuses, and whatever `change` raises."""
        for lost in range(_TRIES):
            self.base = self._fetch()
            snapshot = Snapshot(self.base, self._run)
            files = change(snapshot)
            made = self._made(snapshot, files, message, sign)
            if made is None:
                return Committed(snapshot.commit, False)
            said = self._push(made)
            if said is None:
                return Committed(made, True, tuple(files))
            if not self._raced(snapshot.commit, said):
                what = f"{self._url} does not take a commit on {self._branch}: {said}"
                remedy = "Give a token or key that may push there, or another `--branch` that is not protected."
                raise Unreachable(what, id="LN-6062", remedy=remedy)
            note(f"Another commit came first to {self._branch} of {self._url}; this one is made again on top of it.")
            pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**lost))  # noqa: S311 (no secret)
            if self._stopped.wait(pause):
                raise Interrupted("The run was stopped before it could push.")
        what = (
            f"{_TRIES} commits on {self._branch} of {self._url} each came too late: others push there all the time."
        )
        raise Unreachable(what, id="LN-6062", remedy="Run it again, or give each pipeline a branch of its own.")

    # --- one try ------------------------------------------------------------------------------------------------

    def _fetch(self) -> str | None:
        """The commit that the branch is at now, its files here; None when there is no such branch."""
        head = self._head()
        self._prepare(head)
        if head is None:
            return None
        ref = f"+refs/heads/{self._branch}:{_REF}"
        self._remote(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "lineal", ref])
        # The branch may have moved since it was asked for.
        return text_of(self._run("rev-parse", f"{_REF}^{{commit}}"))

    def _head(self) -> str | None:
        ref = f"refs/heads/{self._branch}"
        self._folder.mkdir(parents=True, exist_ok=True)
        listed = self._remote(["ls-remote", self._url if not self._ready else "lineal", ref])
        return parse_refs(listed).get(ref)

    def _prepare(self, head: str | None) -> None:
        if self._ready:
            return
        kind = "sha256" if head is not None and len(head) == 64 else "sha1"
        self._run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}")
        self._environ = {**self._author(), **self._environ}
        self._ready = True

    def _author(self) -> dict[str, str]:
        """Who commits, where neither variables nor the settings of the machine say so."""
        found: dict[str, str] = {}
        for key, usual in (("NAME", "Lineal"), ("EMAIL", "lineal@localhost")):
            try:
                self._run("config", "--get", f"user.{key.lower()}")
            except GitFailed:
                found |= {f"GIT_{role}_{key}": usual for role in ("AUTHOR", "COMMITTER")}
        return found

    def _made(self, snapshot: Snapshot, files: Files, message: str, sign: bool) -> str | None:
        """The id of a new commit with these files, None when it would change nothing."""
        if not files:
            return None
        self._run("read-tree", *([snapshot.commit] if snapshot.commit else ["--empty"]))
        # A file that stands where a folder is wanted goes first.
        gone = [f"0 {'0' * 40}\t{path}" for path, content in files.items() if content is None]
        there = [f"100644 {self._blob(content)}\t{path}" for path, content in files.items() if content is not None]
        self._run(
            "update-index", "-z", "--index-info", stdin=os.fsencode("".join(f"{one}\0" for one in gone + there))
        )
        tree = text_of(self._run("write-tree"))
        if snapshot.commit and tree == text_of(self._run("rev-parse", f"{snapshot.commit}^{{tree}}")):
            return None
        parent = ["-p", snapshot.commit] if snapshot.commit else []
        asked = ["commit-tree", *(["-S"] if sign else []), *parent, "-F", "-", tree]
        try:
            return text_of(self._run(*asked, stdin=message.encode()))
        except GitFailed as error:
            if not sign:
                raise
            what = f"git cannot sign the commit: {printable(error.message.partition(': ')[2], 300)}"
            remedy = (
                "LINEAL_GIT_SIGNING_KEY takes an SSH or PGP key without a passphrase; git needs ssh-keygen or gpg."
            )
            raise BadConfiguration(what, id="LN-6063", remedy=remedy) from None

    def _blob(self, content: bytes) -> str:
        return text_of(self._run("hash-object", "-w", "--no-filters", "--stdin", stdin=content))

    def _push(self, commit: str) -> str | None:
        """None when the server has taken it, else what it says."""
        try:
            self._remote([*_PUSH, "lineal", f"{commit}:refs/heads/{self._branch}"])
        except _NotTaken as refused:
            return refused.said
        return None

    def _raced(self, before: str | None, said: str) -> bool:
        """Whether somebody else was first, as far as the branch itself tells."""
        return any(word in said.lower() for word in _BUSY) or self._head() != before

    # --- git ----------------------------------------------------------------------------------------------------

    def _run(self, *args: str, stdin: bytes | None = None) -> bytes:
        return run_git(list(args), self._folder, self._environ, stdin)

    def _remote(self, args: list[str]) -> bytes:
        """Run a command that talks to the server. Raises `_NotTaken` for a push, else `Unreachable`."""
        try:
            done = ask_server(args, self._folder, self._environ, seconds=_SECONDS)
        except TimeoutError:
            raise self._unreachable(f"it has not answered within {_SECONDS:.0f} s.") from None
        if done.returncode == 0:
            return done.stdout
        said = _reason(done.stdout + done.stderr)
        if args[0] == "push":
            raise _NotTaken(said)
        raise self._unreachable(said)

    def _unreachable(self, said: str) -> Unreachable:
        remedy = (
            "Check the address, and give credentials that may read and push there: LINEAL_GIT_TOKEN, or an SSH key."
        )
        return Unreachable(f"git cannot use {self._url}: {said}", id="LN-6061", remedy=remedy)


_IDENTITY = tuple(f"GIT_{role}_{key}" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL", "DATE"))


class _NotTaken(Exception):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _reason(output: bytes) -> str:
    """What git and the server say of a failure, in one line."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line and not line.startswith(_ADVICE) and line != "Done"]
    said = "; ".join(dict.fromkeys(kept[-6:])) or "it gives no reason"
    return printable(said, 500).rstrip(".") + "."


def check_branch(branch: str) -> str:
    """The branch. Raises `BadConfiguration` for what git does not take for one."""
    if not _BRANCH.fullmatch(branch) or branch == "@":
        what = f"{quoted(branch)} is not the name of a branch."
        raise BadConfiguration(what, id="LN-6064", remedy="Correct `--branch`, such as `main`.")
    return branch


def check_path(path: str) -> str:
    """A path in the repository in its one spelling, `` for the root. Raises `BadConfiguration`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    odd = ".." in parts or path.startswith("/") or not path.isprintable() or "\\" in path
    if odd or any(part.lower() in (".git", "git~1") for part in parts):
        what = f"{quoted(path)} is not a path inside of a repository."
        raise BadConfiguration(what, id="LN-6064", remedy="Correct `--path`, such as `envs/prod`.")
    return "/".join(parts)


def obstacle(snapshot: Snapshot, path: str) -> str:
    """What of the branch is in the way of a file at this path: a folder above it that is none, or a folder in its
    place; empty for nothing."""
    parts = path.split("/")
    for above in ("/".join(parts[:count]) for count in range(1, len(parts))):
        mode = snapshot.mode(above)
        if mode and mode != DIRECTORY:
            return above
    return path if snapshot.mode(path) == DIRECTORY else ""
