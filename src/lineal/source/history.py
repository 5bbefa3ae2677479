"""Ancestry and tree equality of the commit that is built: *yes*, *no* or *unknown* (DESIGN §5)."""

from __future__ import annotations

import enum
import hashlib
import os
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from lineal.errors import LinealError
from lineal.source.repository import Repository, git_environment


class Answer(enum.Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Lineage:
    """Answers for the ids that were asked about. `trees` maps a root tree to the nearest commit that has it."""

    ancestors: dict[str, Answer]
    trees: dict[str, str | None]
    complete: bool
    """False when the history ends early: an id that was not found is unknown, not absent."""


class GitHistory:
    """Walks the history from the tips once, as far as the questions need, and remembers what it has seen.

    A clone without its full history (depth 1 on GitHub, 20 on GitLab) can only say yes. What is missing is then
    fetched, commits only, into a bare repository of Lineal's own; the workspace is never changed
    (reference/git.md §3)."""

    def __init__(self, repository: Repository, tips: Sequence[str], cache: Path) -> None:
        self._repository = repository
        self._tips = list(tips)
        self._cache = cache
        self._walk = _Walk(repository.root, repository.environ, self._tips)
        self._fetched = not repository.shallow
        self.notes: list[str] = []

    def seek(self, commits: Collection[str], trees: Collection[str]) -> Lineage:
        """Which of `commits` are a tip or an ancestor of one, and which commit of the history has each of `trees`."""
        if not self._walk.reaches(commits, trees) and not self._fetched:
            self._fetched = True
            self._fetch_history()
            self._walk.reaches(commits, trees)
        complete = self._walk.ended and (not self._repository.shallow or self._walk.from_side)
        missing = Answer.NO if complete else Answer.UNKNOWN
        return Lineage(
            ancestors={commit: Answer.YES if commit in self._walk.commits else missing for commit in commits},
            trees={tree: self._walk.trees.get(tree) for tree in trees},
            complete=complete,
        )

    def _fetch_history(self) -> None:
        tips = [parent for tip in self._tips for parent in self._repository.parents(tip)] or self._tips
        try:
            side = _fetch(self._repository, tips, self._cache)
        except (LinealError, OSError) as error:
            self.notes.append(
                f"The clone is shallow and its missing history could not be fetched ({error}); stages of earlier "
                "commits count as unknown and may be built again. Use a full clone (fetch-depth: 0, GIT_DEPTH: 0)."
            )
            return
        known = self._walk
        self._walk = _Walk(side, git_environment(side, dict(os.environ)), tips, from_side=True)
        self._walk.commits |= known.commits
        for tree, commit in known.trees.items():
            self._walk.trees.setdefault(tree, commit)


@dataclass(slots=True)
class _Walk:
    """`git log` over the whole history, read lazily: most questions are answered by the first commits."""

    folder: Path
    environ: dict[str, str]
    tips: list[str]
    from_side: bool = False
    commits: set[str] = field(default_factory=set)
    trees: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    _process: subprocess.Popen[bytes] | None = None

    def reaches(self, commits: Collection[str], trees: Collection[str]) -> bool:
        """Read on until everything asked for is found or the history ends."""
        left = {commit for commit in commits if commit not in self.commits}
        left_trees = {tree for tree in trees if tree not in self.trees}
        if not left and not left_trees:
            return True
        stream = self._stream()
        while (left or left_trees) and not self.ended:
            line = stream.readline()
            if not line:
                self._finish()
                break
            commit, tree = line.decode().split()
            self.commits.add(commit)
            self.trees.setdefault(tree, commit)
            left.discard(commit)
            left_trees.discard(tree)
        return not left and not left_trees

    def _stream(self) -> IO[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                ["git", "-c", "log.showSignature=false", "log", "--no-decorate", "--no-color", "--format=%H %T",
                 *self.tips, "--"],
                cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        assert self._process.stdout is not None
        return self._process.stdout

    def _finish(self) -> None:
        assert self._process is not None
        _, errors = self._process.communicate()
        self.ended = self._process.returncode == 0
        if not self.ended:
            raise LinealError(f"git could not read the history: {errors.decode(errors='replace').strip()[-300:]}")


def _fetch(repository: Repository, tips: Sequence[str], cache: Path) -> Path:
    """Fetch the tips' history, commits only, into a bare repository under `cache`; its path."""
    url = _remote_url(repository)
    if url is None:
        raise LinealError("the clone has no remote")
    side = cache / "history" / (hashlib.sha256(_without_user(url).encode()).hexdigest()[:24] + ".git")
    environ = _fetch_environment(repository, url, side)
    if not (side / "HEAD").exists():
        side.mkdir(parents=True, exist_ok=True)
        _git(["init", "--quiet", "--bare", f"--object-format={repository.object_format}", str(side)], side, environ)
    fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--filter=tree:0"]
    try:
        _git([*fetch, "lineal", *(f"+{tip}:refs/lineal/{tip}" for tip in tips)], side, environ)
    except LinealError:
        # A server that gives no single commits: its branches hold what they hold.
        _git([*fetch, "lineal", "+refs/heads/*:refs/lineal/heads/*"], side, environ)
    return side


def _remote_url(repository: Repository) -> str | None:
    remotes = repository.run("remote").decode().split()
    if not remotes:
        return None
    name = "origin" if "origin" in remotes else remotes[0]
    url = repository.run("remote", "get-url", name).decode().strip()
    # A relative path means something only inside the workspace.
    local = repository.root / url
    return str(local.resolve()) if "://" not in url and not Path(url).is_absolute() and local.exists() else url


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme else url


def _fetch_environment(repository: Repository, url: str, side: Path) -> dict[str, str]:
    """The remote and the credentials as the CI left them, handed over by environment: a token in the URL or an
    `extraheader` is then in no argument list and in no file of ours."""
    settings = {"remote.lineal.url": url}
    if url.startswith(("http://", "https://")):
        with suppress(LinealError):
            found = (
                repository.run("config", "--get-urlmatch", "http.extraheader", _without_user(url)).decode().strip()
            )
            settings[f"http.{_without_user(url)}.extraheader"] = found
        with suppress(LinealError):
            settings["credential.helper"] = repository.run("config", "--get", "credential.helper").decode().strip()
    environ = git_environment(side, dict(os.environ))
    count = int(environ["GIT_CONFIG_COUNT"])
    for number, (key, value) in enumerate(settings.items(), start=count):
        environ[f"GIT_CONFIG_KEY_{number}"] = key
        environ[f"GIT_CONFIG_VALUE_{number}"] = value
    environ["GIT_CONFIG_COUNT"] = str(count + len(settings))
    return environ


def _git(args: list[str], cwd: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(["git", *args], cwd=cwd, env=environ, capture_output=True, timeout=600, check=False)
    if done.returncode != 0:
        # git repeats the URL, token included: only its kind of complaint is told.
        raise LinealError(f"git {args[0]} ended with status {done.returncode}")
