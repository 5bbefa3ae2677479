"""Which published stages a commit may use: every rule of DESIGN §5."""

from __future__ import annotations

import pytest

from lineal.git.history import Ancestry
from lineal.stages.visibility import HistoryPosition, Verdict, judge
from lineal.store.record import Record
from tests.unit.stages.workbench import HERE, SUM, Says, oid, record

MERGE_REF = HistoryPosition(oid("e"), oid("d"), "feature", (oid("1"), oid("2")))
DEV = HistoryPosition(oid("c"), oid("d"), "lineal-dev/mine")


def verdict(found: Record, line: HistoryPosition = HERE, history: Says | None = None) -> Verdict:
    return judge([found], line, history or Says())[0]


def test_what_this_commit_built_is_visible_without_asking_history() -> None:
    history = Says()
    assert verdict(record(oid("c"), tree=HERE.tree), HERE, history) == Verdict(Ancestry.YES, "this commit")
    assert history.asked == []


def test_an_ancestor_is_named_in_short() -> None:
    assert verdict(record(oid("a")), HERE, Says([oid("a")])) == Verdict(Ancestry.YES, "ancestor aaaaaaa")


def test_another_branch_is_invisible_and_named() -> None:
    found = verdict(record(oid("b"), branch="feature"))
    assert found.answer is Ancestry.NO
    assert "feature" in found.rule and "bbbbbbb" in found.rule


def test_every_commit_of_a_record_must_be_in_the_history() -> None:
    one = record(oid("a"), oid("b"))
    assert verdict(one, HERE, Says([oid("a")])).answer is Ancestry.NO
    assert verdict(one, HERE, Says([oid("b")])).answer is Ancestry.NO
    assert verdict(one, HERE, Says([oid("a"), oid("b")])).answer is Ancestry.YES
    assert verdict(record(oid("c"), oid("b"))).answer is Ancestry.NO
    assert verdict(record(oid("c"), oid("b")), HERE, Says([oid("b")])).answer is Ancestry.YES


def test_a_record_without_commits_proves_nothing() -> None:
    nobody = Record(SUM, (), oid("f"), "main", 1, "", "", "")
    assert verdict(nobody).answer is Ancestry.NO
    assert verdict(nobody, MERGE_REF).answer is Ancestry.NO


def test_the_same_tree_is_the_same_line_whoever_committed_it() -> None:
    assert verdict(record(oid("b"), tree=HERE.tree)) == Verdict(Ancestry.YES, "same tree as ccccccc")
    squashed = verdict(record(oid("b"), tree=oid("9")), HERE, Says(trees={oid("9"): oid("a")}))
    assert squashed == Verdict(Ancestry.YES, "same tree as aaaaaaa")


def test_a_merge_ref_sees_its_own_earlier_runs() -> None:
    assert verdict(record(oid("1"), oid("2")), MERGE_REF).rule == "this commit"
    assert verdict(record(oid("2"), oid("1")), MERGE_REF).answer is Ancestry.YES


def test_a_merge_ref_sees_what_either_parent_built() -> None:
    history = Says()
    assert verdict(record(oid("1")), MERGE_REF, history).answer is Ancestry.YES
    assert verdict(record(oid("2")), MERGE_REF, history).answer is Ancestry.YES
    assert all(not commits for commits, _ in history.asked), "the parents are known without asking"
    assert verdict(record(oid("2"), oid("b")), MERGE_REF, history).answer is Ancestry.NO


def test_a_merge_ref_records_its_parents_and_never_itself() -> None:
    assert MERGE_REF.recorded == (oid("1"), oid("2"))
    assert HERE.recorded == (oid("c"),)


def test_the_merge_of_a_pull_request_inherits_what_its_merge_ref_built() -> None:
    by_merge_ref = record(*MERGE_REF.recorded, branch="feature")
    assert verdict(by_merge_ref, HERE, Says([oid("1")])).answer is Ancestry.NO
    assert verdict(by_merge_ref, HERE, Says([oid("1"), oid("2")])).answer is Ancestry.YES


def test_a_short_history_can_say_yes_but_never_no() -> None:
    short = Says([oid("a")], complete=False)
    assert verdict(record(oid("a")), HERE, short).answer is Ancestry.YES
    unknown = verdict(record(oid("b")), HERE, short)
    assert unknown.answer is Ancestry.UNKNOWN
    assert "unknown" in unknown.rule


def test_a_tree_may_still_decide_what_a_short_history_leaves_open() -> None:
    short = Says(trees={oid("9"): oid("a")}, complete=False)
    assert verdict(record(oid("b"), tree=oid("9")), HERE, short).answer is Ancestry.YES


@pytest.mark.parametrize("line", [HERE, MERGE_REF, HistoryPosition(oid("c"), oid("d"), "lineal-dev/other")])
def test_a_working_tree_is_never_inherited_by_another(line: HistoryPosition) -> None:
    dev = record(line.commit, tree=line.tree, branch="lineal-dev/mine")
    found = verdict(dev, line, Says([line.commit], {line.tree: line.commit}))
    assert found.answer is Ancestry.NO
    assert "uncommitted" in found.rule


def test_a_working_tree_sees_its_own_builds_and_those_of_its_history() -> None:
    assert verdict(record(oid("8"), branch=DEV.branch), DEV).answer is Ancestry.YES
    assert verdict(record(oid("a")), DEV, Says([oid("a")])).answer is Ancestry.YES
    assert verdict(record(oid("b")), DEV).answer is Ancestry.NO


def test_a_branch_of_the_same_name_means_nothing() -> None:
    assert verdict(record(oid("b"), branch=HERE.branch)).answer is Ancestry.NO


def test_history_is_asked_once_for_all_records() -> None:
    history = Says([oid("a")])
    records = [record(oid("a")), record(oid("c"), tree=HERE.tree), record(oid("b"), tree=oid("9"))]
    answers = [found.answer for found in judge(records, HERE, history)]
    assert answers == [Ancestry.YES, Ancestry.YES, Ancestry.NO]
    assert history.asked == [({oid("a"), oid("b")}, {oid("f"), oid("9")})]
