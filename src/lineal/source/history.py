"""Ancestry and tree equality of the commit that is built: *yes*, *no* or *unknown* (DESIGN §5)."""

from __future__ import annotations

import enum
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lineal.errors import LinealError
from lineal.source.git import GitFailed, git_environment, text_of
from lineal.source.repository import Repository


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
        self._cache = cache
        self._walk = _Walk(repository.root, repository.environ, list(tips))
        self._cut = repository.shallow
        """Whether the walk ends where a shallow clone does, and not at the root."""
        self._fetched = False
        self.notes: list[str] = []

    def seek(self, commits: Collection[str], trees: Collection[str]) -> Lineage:
        """Which of `commits` are a tip or an ancestor of one, and which commit of the history has each of `trees`."""
        if not self._walk.reaches(commits, trees) and self._cut and not self._fetched:
            self._fetched = True
            self._go_on_beyond_the_clone(commits, trees)
        complete = self._walk.ended and not self._cut
        missing = Answer.NO if complete else Answer.UNKNOWN
        return Lineage(
            ancestors={commit: Answer.YES if commit in self._walk.commits else missing for commit in commits},
            trees={tree: self._walk.trees.get(tree) for tree in trees},
            complete=complete,
        )

    def close(self) -> None:
        self._walk.close()

    def _go_on_beyond_the_clone(self, commits: Collection[str], trees: Collection[str]) -> None:
        from lineal.source.side import fetch

        try:
            parents = self._cut_off()
            side = fetch(self._repository, parents, self._cache) if parents else None
            if side is not None:
                environ = git_environment(side, self._repository.environ)
                beyond = _Walk(side, environ, parents, commits=self._walk.commits, trees=self._walk.trees)
                beyond.reaches(commits, trees)
                self._walk = beyond
            self._cut = False
        except (LinealError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
            self.notes.append(
                f"The clone is shallow and its missing history could not be fetched ({why}); stages of earlier "
                "commits count as unknown and may be built again. Use a full clone (fetch-depth: 0, GIT_DEPTH: 0)."
            )

    def _cut_off(self) -> list[str]:
        """The commits at which the clone stops short: parents that its last commits name and that it does not have.

        Not the tips: those may be a merge ref that exists no more, or commits that nobody has pushed."""
        where = text_of(self._repository.run("rev-parse", "--git-path", "shallow"))
        last = (self._repository.root / where).read_text().split()
        known = self._walk.commits
        found = {parent for commit in last if commit in known for parent in self._repository.parents(commit)}
        return sorted(found - known)


@dataclass(slots=True)
class _Walk:
    """`git log` over the whole history, read lazily: most questions are answered by the first commits."""

    folder: Path
    environ: dict[str, str]
    tips: list[str]
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
                 "--stdin"],
                cwd=self.folder, env=self.environ,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert self._process.stdin is not None
            self._process.stdin.write("".join(f"{tip}\n" for tip in self.tips).encode())
            self._process.stdin.close()
        assert self._process.stdout is not None
        return self._process.stdout

    def _finish(self) -> None:
        assert self._process is not None
        self.ended = self._process.wait() == 0
        if not self.ended:
            raise GitFailed(f"git could not read the history in {self.folder}")

    def close(self) -> None:
        """End a walk that nobody needs to the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
