"""A small history with every way in which a line of work meets another, and who may see what in it (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from lineal.git.history import Ancestry, HistoryAnswer
from lineal.stages.visibility import HistoryPosition
from lineal.store.record import Record


@dataclass(frozen=True)
class Commit:
    parents: str
    tree: str


COMMITS = {
    "0": Commit("", "0"),
    "1": Commit("0", "1"),
    # Two branches, one of them with a second commit that restores the tree of its first.
    "a": Commit("0", "a"),
    "b": Commit("0", "b"),
    "c": Commit("b", "c"),
    "d": Commit("c", "b"),
    # main: a true merge, a squash of b, and an octopus of all.
    "e": Commit("1a", "e"),
    "f": Commit("1", "b"),
    "9": Commit("eda", "9"),
    # Nothing to do with the rest.
    "8": Commit("", "8"),
}
RUNS = {
    **{name: (name, "") for name in COMMITS},
    # Merge refs of pull requests: a commit of one run only, with its real parents.
    "7": ("7", "ea"),
    "6": ("6", "1b"),
}
MERGED = {"7": Commit("ea", "e"), "6": Commit("1b", "6")}


def oid(letter: str) -> str:
    return letter * 40


def line(name: str) -> HistoryPosition:
    commit, parents = RUNS[name]
    tree = (COMMITS.get(name) or MERGED[name]).tree
    return HistoryPosition(oid(commit), oid(tree), f"branch-{name}", tuple(oid(parent) for parent in parents))


def past(name: str) -> set[str]:
    """The commit and all its ancestors."""
    commit = COMMITS.get(name) or MERGED[name]
    return {name}.union(*(past(parent) for parent in commit.parents))


def visible(name: str, record: Record) -> bool:
    """Whether design §5 lets a run of `name` use a publication: written from the text, not from the code."""
    known = {oid(commit) for commit in past(name)}
    trees = {oid((COMMITS.get(commit) or MERGED[commit]).tree) for commit in past(name)}
    return all(commit in known for commit in record.commits) or record.tree in trees


class Past:
    """The history of one run, complete."""

    def __init__(self, name: str) -> None:
        self._past = past(name)
        self._trees = {
            oid((COMMITS.get(commit) or MERGED[commit]).tree): oid(commit) for commit in sorted(self._past)
        }

    def seek(self, commits: Collection[str], trees: Collection[str], **_: Any) -> HistoryAnswer:
        known = {oid(commit) for commit in self._past}
        return HistoryAnswer(
            {commit: Ancestry.YES if commit in known else Ancestry.NO for commit in commits},
            {tree: self._trees.get(tree) for tree in trees},
            True,
        )
