"""Ancestry and tree equality of the commit that is built: *yes*, *no* or *unknown* (DESIGN §5)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lineal.errors import LinealError
from lineal.git.command import git_environment
from lineal.git.commit_graph import CommitGraph
from lineal.git.log_walk import GraphWalk, LogWalk, Question, Search
from lineal.git.repository import Repository


class Ancestry(enum.Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class HistoryAnswer:
    """Answers for the ids that were asked about. `trees` maps a root tree to the nearest commit that has it."""

    ancestors: dict[str, Ancestry]
    trees: dict[str, str | None]
    complete: bool
    """False when the history ends early: an id that was not found is unknown, not absent."""


class GitHistory:
    """Walks the history from the tips once, as far as the questions need, and remembers what it has seen.

    A clone without its full history (depth 1 on GitHub, 20 on GitLab) can only say yes. What is missing is then
    fetched, commits only, into a bare repository of Lineal's own; the workspace is never changed
    (reference/git.md §3). First what is not much older than `since`: that is little, and mostly enough."""

    def __init__(self, repository: Repository, tips: Sequence[str], cache: Path) -> None:
        self._repository = repository
        self._tips = list(tips)
        self._cache = cache
        self._clone: LogWalk | GraphWalk | None = None
        self._beyond: LogWalk | None = None
        """What comes before the commits at which a shallow clone stops short."""
        self._since: int | None = None
        """How far back has been fetched."""
        self._final = False
        """Whether all has been fetched, or that was tried in vain."""
        self.notes: list[str] = []

    def seek(
        self, commits: Collection[str], trees: Collection[str], *, since: int | None = None,
        either: Iterable[Question] = (),
    ) -> HistoryAnswer:  # fmt: skip
        """Which of `commits` are a tip or an ancestor of one, and which commit of the history has each of `trees`.

        `since`, in ms since the epoch, is when the oldest of them is likely to have been made; it only saves time.
        `either` says when an answer is enough: for each of these questions, all its commits or else its tree."""
        search = Search(either or [*(((commit,), "") for commit in commits), *(((), tree) for tree in trees)])
        if search.open:
            self._search(search, since)
        complete = self._complete
        missing = Ancestry.NO if complete else Ancestry.UNKNOWN
        return HistoryAnswer(
            ancestors={commit: Ancestry.YES if commit in search.commits else missing for commit in commits},
            trees={tree: search.trees.get(tree) for tree in trees},
            complete=complete,
        )

    def close(self) -> None:
        for walk in (self._clone, self._beyond):
            if walk is not None:
                walk.close()

    def _search(self, search: Search, since: int | None) -> None:
        if self._clone is None:
            self._clone = _walk_of(self._repository, self._tips)
        try:
            self._clone.search(search)
        except IndexError:
            # A commit-graph that names commits which it does not have.
            self._clone = _log_of(self._repository, self._tips)
            self._clone.search(search)
        try:
            if self._beyond is not None and search.open:
                self._beyond.search(search)
            while search.open and not self._final and not self._complete:
                self._go_on_beyond_the_clone(search, since)
            if search.open and self._final and self._beyond is not None and self._beyond.ends and not self.notes:
                raise LinealError("the remote is a shallow clone itself")
        except (LinealError, OSError) as error:
            self._give_up(error.strerror if isinstance(error, OSError) else str(error))

    @property
    def _complete(self) -> bool:
        """Whether everything was read, down to the roots."""
        if self._clone is None or not self._clone.ended:
            return False
        return not self._cut_off or (self._beyond is not None and self._beyond.ended and not self._beyond.ends)

    @cached_property
    def _cut_off(self) -> list[str]:
        """The commits at which the clone stops short: parents that its last commits name and that it does not have.

        Not the tips: those may be a merge ref that exists no more, or commits that nobody has pushed."""
        assert self._clone is not None
        found = {parent for commit in self._clone.ends for parent in self._repository.parents(commit)}
        return sorted(found - self._clone.among(found))

    def _go_on_beyond_the_clone(self, search: Search, since: int | None) -> None:
        """Fetch what is not older than `since`, or all if that was not enough, and look there."""
        from lineal.git.history_fetch import fetch

        if since is None or (self._since is not None and self._since <= since):
            since, self._final = None, True
        else:
            self._since = since
        side = fetch(self._repository, self._cut_off, self._cache, since)
        if self._beyond is not None:
            self._beyond.close()
        self._beyond = LogWalk(side, side, git_environment(side, self._repository.environ), self._cut_off)
        self._beyond.search(search)

    def _give_up(self, why: str | None) -> None:
        """Say so; what has been found stays true."""
        self._final = True
        if self._beyond is not None and not self._beyond.ended:
            self._beyond.close()
            self._beyond = None
        self.notes.append(
            f"The clone is shallow and its missing history could not be fetched ({(why or 'unknown').rstrip('.')}); "
            "stages of earlier commits count as unknown and may be built again. Use a full clone (fetch-depth: 0, "
            "GIT_DEPTH: 0)."
        )


def _walk_of(repository: Repository, tips: Sequence[str]) -> LogWalk | GraphWalk:
    if not repository.shallow:
        # None, in layers, too old, broken: git knows what to do.
        with suppress(OSError, ValueError, IndexError, struct.error):
            return GraphWalk(repository, tips, CommitGraph(_git_dir(repository) / "objects/info/commit-graph"))
    return _log_of(repository, tips)


def _log_of(repository: Repository, tips: Sequence[str]) -> LogWalk:
    return LogWalk(repository.root, _git_dir(repository), repository.environ, tips)


def _git_dir(repository: Repository) -> Path:
    """What linked worktrees have in common."""
    pointer = repository.git_dir / "commondir"
    return repository.git_dir / pointer.read_text().strip() if pointer.exists() else repository.git_dir
