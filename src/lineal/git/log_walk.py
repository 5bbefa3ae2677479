"""Searches a history for commits and trees: with `git log`, or in the commit-graph."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from lineal.git.command import GitFailed
from lineal.git.commit_graph import CommitGraph
from lineal.git.repository import Repository

Question = tuple[Sequence[str], str]
"""Answered *yes* when all these commits, or this tree, are in the history. Either part may be empty."""

_LINES = 1000
"""Lines of `git log` that are read at once."""
_MOST_NEWER = 10_000
"""Commits that a commit-graph may lack. With more, `git log` is faster."""
_NOTHING = 1 << 30
"""A level above those of all commits."""


class Search:
    """The questions of one search, and the commits and trees that have been found."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self.open: list[Question] = [(tuple(commits), tree) for commits, tree in questions if commits or tree]
        self.commits: set[str] = set()
        self.trees: dict[str, str] = {}

    @property
    def left(self) -> set[str]:
        """The commits of open questions that have not been found."""
        return {commit for commits, _ in self.open for commit in commits} - self.commits

    @property
    def left_trees(self) -> set[str]:
        return {tree for _, tree in self.open if tree and tree not in self.trees}

    def found(self, commits: Collection[str], trees: dict[str, str]) -> None:
        """Note found commits, and for each found tree the commit that is nearest to the tips."""
        self.commits |= set(commits)
        self.trees |= trees
        self.open = [
            (all_of, tree) for all_of, tree in self.open
            if tree not in self.trees and not (all_of and self.commits.issuperset(all_of))
        ]  # fmt: skip


class LogWalk:
    """Searches the output of `git log`, which is read as far as the questions need and kept as text.

    The first commits answer most questions. A million commits are 80 MB of text."""

    def __init__(self, folder: Path, git_dir: Path, environ: dict[str, str], tips: Sequence[str]) -> None:
        """`git_dir` is the directory with the file `shallow`."""
        self._folder, self._git_dir, self._environ, self._tips = folder, git_dir, environ, tips
        self._read: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._shallow: set[str] = set()
        self.ended = False

    def search(self, search: Search) -> None:
        """Read on until every question is answered or the history ends."""
        left, left_trees = search.left, search.left_trees
        for text in self._texts():
            ids = text.split()
            commits = left.intersection(ids[::2])
            trees = left_trees.intersection(ids[1::2])
            if commits or trees:
                search.found(commits, {tree: ids[2 * ids[1::2].index(tree)] for tree in trees})
                left, left_trees = search.left, search.left_trees
            if not search.open:
                return

    def among(self, commits: Collection[str]) -> set[str]:
        """The commits that have been read."""
        wanted = set(commits)
        return {commit for text in self._read for commit in wanted.intersection(text.split()[::2])}

    def close(self) -> None:
        """End git, which may be in the middle of the history."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    @cached_property
    def ends(self) -> set[str]:
        """The commits at which a shallow repository ended this walk."""
        return self.among(self._shallow)

    def _texts(self) -> Iterator[str]:
        """Texts with a commit and its tree on each line. The texts that were read before come first."""
        yield from self._read
        if self.ended:
            return
        stream = self._stream()
        # All ids of a repository have one length, and so have these lines.
        size = _LINES * (2 * len(self._tips[0]) + 2)
        while lines := stream.read(size):
            self._note_shallow()
            self._read.append(lines.decode())
            yield self._read[-1]
        self._finish()

    def _stream(self) -> IO[bytes]:
        if self._process is None:
            self._note_shallow()
            self._process = subprocess.Popen(
                ["git", "-c", "log.showSignature=false", "log", "--no-decorate", "--no-color", "--format=%H %T",
                 "--stdin"],
                # git then writes many lines at once.
                cwd=self._folder, env={**self._environ, "GIT_FLUSH": "0"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert self._process.stdin is not None
            self._process.stdin.write("".join(f"{tip}\n" for tip in self._tips).encode())
            self._process.stdin.close()
        assert self._process.stdout is not None
        return self._process.stdout

    def _note_shallow(self) -> None:
        """Remember where the repository ends. It is called before git reads that file and after it: another run may
        fetch meanwhile, and no end may be overlooked."""
        with suppress(FileNotFoundError):
            self._shallow.update((self._git_dir / "shallow").read_text().split())

    def _finish(self) -> None:
        assert self._process is not None
        if self._process.wait() != 0:
            raise GitFailed(f"git could not read the history in {self._folder}", id="LN-3006")
        self._note_shallow()
        self.ended = True


class GraphWalk:
    """Gives the answers of `LogWalk` from the commit-graph of a complete clone."""

    ended = True
    ends: frozenset[str] = frozenset()

    def __init__(self, repository: Repository, tips: Sequence[str], graph: CommitGraph) -> None:
        self._graph = graph
        self._starts: set[int] = set()
        self._newer: dict[str, str] = {}
        """The commits that the graph does not have yet, with their trees."""
        waiting = [repository.peel(tip) or tip for tip in tips]
        while waiting:
            commit = waiting.pop()
            position = graph.position(commit)
            if position is not None:
                self._starts.add(position)
            elif commit not in self._newer:
                self._newer[commit], parents = repository.objects.commit(commit)
                waiting += parents
                if len(self._newer) > _MOST_NEWER:
                    raise ValueError("the commit-graph is too old to be of use")

    def search(self, search: Search) -> None:
        newer = {tree: commit for commit, tree in reversed(self._newer.items())}
        trees = {tree: newer[tree] for tree in search.left_trees & newer.keys()}
        search.found(search.left & self._newer.keys(), trees)
        places = {commit: at for commit in search.left if (at := self._graph.position(commit)) is not None}
        reached = self._reached(places.values())
        search.found([commit for commit, at in places.items() if reached[at]], {})
        if search.left_trees:
            self._search_trees(search)

    def _search_trees(self, search: Search) -> None:
        same = self._graph.with_trees(search.left_trees)
        reached = self._reached([at for _, at in same])
        nearest = sorted((self._graph.level(at), at, tree) for tree, at in same if reached[at])
        search.found((), {tree: self._graph.commit(at) for _, at, tree in nearest})

    def _reached(self, places: Collection[int]) -> bytearray:
        """A byte for each position of the graph: 1 where it is in the history, down to the lowest of these places."""
        return self._graph.reached(self._starts, min(map(self._graph.level, places), default=_NOTHING))

    def among(self, commits: Collection[str]) -> set[str]:
        return {commit for commit in commits if commit in self._newer}

    def close(self) -> None:
        pass
