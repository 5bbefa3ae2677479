"""Visibility: the published stages that the commit may use (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from lineal.git.history import Ancestry, HistoryAnswer
from lineal.store.record import Record
from lineal.value import dataclass

DEV_PREFIX = "lineal-dev/"


class History(Protocol):
    def seek(
        self, commits: Collection[str], trees: Collection[str], *, since: int | None = None,
        either: Iterable[tuple[Sequence[str], str]] = (),
    ) -> HistoryAnswer: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistoryPosition:
    """The commit that is built, and the facts that a record of this run states about it."""

    commit: str
    tree: str
    branch: str
    parents: tuple[str, ...] = ()
    """The real parents of a commit that the CI made for one run only."""

    @property
    def recorded(self) -> tuple[str, ...]:
        return self.parents or (self.commit,)

    @property
    def dev(self) -> bool:
        return self.branch.startswith(DEV_PREFIX)


@dataclass(frozen=True, slots=True)
class Verdict:
    answer: Ancestry
    rule: str
    """For people: `this commit`, `ancestor 1a2b3c4`, `same tree as 1a2b3c4`, or why not."""


def judge(records: Iterable[Record], line: HistoryPosition, history: History) -> list[Verdict]:
    """One verdict for each record, in order. History is asked once for all of them."""
    records = list(records)
    # A merge ref counts as the merge that it tries out: the histories of both parents count.
    own = {line.commit, *line.parents}
    asked = [record for record in records if not _known(record, line, own)]
    either = [([commit for commit in record.commits if commit not in own], record.tree) for record in asked]
    commits = {commit for missing, _ in either for commit in missing}
    trees = {tree for _, tree in either}
    since = min((record.created for record in asked), default=None)
    lineage = history.seek(commits, trees, since=since, either=either) if asked else HistoryAnswer({}, {}, True)
    return [_verdict(record, line, lineage) for record in records]


def _known(record: Record, line: HistoryPosition, own: set[str]) -> bool:
    """Whether the verdict needs no answer of history."""
    if record.branch.startswith(DEV_PREFIX) or record.tree == line.tree:
        return True
    return bool(record.commits) and own.issuperset(record.commits)


def _own_working_tree(record: Record, line: HistoryPosition) -> bool:
    return record.branch == line.branch and line.dev


def _verdict(record: Record, line: HistoryPosition, lineage: HistoryAnswer) -> Verdict:
    if _own_working_tree(record, line):
        return Verdict(Ancestry.YES, "this working tree")
    if record.branch.startswith(DEV_PREFIX):
        return Verdict(Ancestry.NO, "built from an uncommitted working tree")
    if set(record.commits) == {line.commit} or (line.parents and set(record.commits) == set(line.parents)):
        return Verdict(Ancestry.YES, "this commit")
    own = {line.commit, *line.parents}
    answers = [Ancestry.YES if commit in own else lineage.ancestors.get(commit) for commit in record.commits]
    if answers and all(answer is Ancestry.YES for answer in answers):
        return Verdict(Ancestry.YES, f"ancestor {record.commits[-1][:7]}")
    same = line.commit if record.tree == line.tree else lineage.trees.get(record.tree)
    if same is not None:
        return Verdict(Ancestry.YES, f"same tree as {same[:7]}")
    where = f"{record.branch or 'a commit'} ({record.commits[-1][:7] if record.commits else '?'})"
    if not lineage.complete:
        return Verdict(Ancestry.UNKNOWN, f"hidden: on {where}, perhaps not in this history (unknown)")
    return Verdict(Ancestry.NO, f"hidden: only on {where}")
