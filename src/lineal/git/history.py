"""Ancestry and tree equality of the commit that is built: *yes*, *no* or *unknown* (DESIGN §5)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from lineal.errors import LinealError
from lineal.git.command import common_dir, git_environment
from lineal.git.repository import Repository
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.git.log_walk import GraphWalk, LogWalk, Question, Search


class Ancestry(enum.Enum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class HistoryAnswer:
    """The answers of one search. `trees` maps each root tree to the nearest commit that has it, or to None."""

    ancestors: dict[str, Ancestry]
    trees: dict[str, str | None]
    complete: bool
    """False when the history ends early. An id that was not found is then unknown, not absent."""


class GitHistory:
    """Walks the history from the tips once, as far as the questions need, and remembers the commits.

    A clone without its full history (depth 1 on GitHub, 20 on GitLab) can only say *yes*. The missing commits are
    fetched then, without files, into a bare repository of Lineal's own. The workspace is never changed: a filter or a
    greater depth would stay in its configuration. First the commits are fetched that are not much older than `since`,
    which are few and mostly enough. Safe to use from several threads."""

    def __init__(self, repository: Repository, tips: Sequence[str], cache: Path) -> None:
        self._repository = repository
        self._tips = list(tips)
        self._cache = cache
        self._clone: LogWalk | GraphWalk | None = None
        self._beyond: LogWalk | None = None
        """The history before the commits at which a shallow clone ends."""
        self._since: int | None = None
        """The time back to which history has been fetched, in ms since the epoch."""
        self._final = False
        """Whether the whole history has been fetched, or this has failed."""
        self.notes: list[str] = []
        self._guard = Lock()

    def seek(
        self, commits: Collection[str], trees: Collection[str], *, since: int | None = None,
        either: Iterable[Question] = (),
    ) -> HistoryAnswer:  # fmt: skip
        """Tells for each of `commits` whether it is a tip or an ancestor of one, and for each of `trees` which commit
        of the history has it.

        `since`, in ms since the epoch, is the likely time of the oldest of them; it only saves time. With `either`
        the search ends when each of these questions is answered, by all its commits or else by its tree."""
        from lineal.git.log_walk import Search

        search = Search(either or [*(((commit,), "") for commit in commits), *(((), tree) for tree in trees)])
        with self._guard:
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
            # The commit-graph names commits that it does not have.
            self._clone = _log_of(self._repository, self._tips)
            self._clone.search(search)
        try:
            if self._beyond is not None and search.open:
                self._beyond.search(search)
            while search.open and not self._final and not self._complete:
                self._go_on_beyond_the_clone(search, since)
            if search.open and self._final and self._beyond is not None and self._beyond.ends and not self.notes:
                raise LinealError("the remote is a shallow clone itself", id="LN-3014")
        except (LinealError, OSError) as error:
            self._give_up(error.strerror if isinstance(error, OSError) else error.words)

    @property
    def _complete(self) -> bool:
        """Whether everything was read, down to the roots."""
        if self._clone is None or not self._clone.ended:
            return False
        return not self._cut_off or (self._beyond is not None and self._beyond.ended and not self._beyond.ends)

    @cached_property
    def _cut_off(self) -> list[str]:
        """The parents that the last commits of the clone name and that it does not have.

        They are fetched in place of the tips: a tip may be a merge ref that is gone, or a commit that was never
        pushed."""
        assert self._clone is not None
        found = {parent for commit in self._clone.ends for parent in self._repository.parents(commit)}
        return sorted(found - self._clone.among(found))

    def _go_on_beyond_the_clone(self, search: Search, since: int | None) -> None:
        """Fetch the commits since `since`, or all when these were not enough, and search them."""
        from lineal.git.history_fetch import fetch
        from lineal.git.log_walk import LogWalk

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
        """Note that the rest of the history is out of reach. Commits that have been found stay found."""
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
    from lineal.git.commit_graph import CommitGraph
    from lineal.git.log_walk import GraphWalk

    if not repository.shallow:
        # The file may be missing, in layers, too old or damaged. git can deal with each.
        with suppress(OSError, ValueError, IndexError, struct.error):
            return GraphWalk(
                repository, tips, CommitGraph(common_dir(repository.git_dir) / "objects/info/commit-graph")
            )
    return _log_of(repository, tips)


def _log_of(repository: Repository, tips: Sequence[str]) -> LogWalk:
    from lineal.git.log_walk import LogWalk

    return LogWalk(repository.root, common_dir(repository.git_dir), repository.environ, tips)
