"""The diff of a plan: every object that differs, no value of a Secret."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lineal.deploy.changes import between
from lineal.deploy.live import Rendering
from lineal.report.changes import sentence
from lineal.report.json import ChangeReport


def rendering(*objects: dict[str, Any], hooks: tuple[dict[str, Any], ...] = ()) -> Rendering:
    text = "\n---\n".join(json.dumps(one) for one in objects)
    return Rendering(1, "deployed", text, tuple((str(number), json.dumps(one)) for number, one in enumerate(hooks)))


def thing(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, **fields}


def changes(old: Rendering | None, new: Rendering) -> list[ChangeReport]:
    return between(old, new, lambda line: line)


def test_each_object_that_differs_is_named_with_its_lines() -> None:
    old = rendering(thing("A", "same", x=1), thing("A", "gone"), thing("B", "other", x=1))
    new = rendering(thing("B", "other", x=2), thing("C", "new"), thing("A", "same", x=1))
    found = changes(old, new)
    assert [(one.action, one.kind, one.name) for one in found] == [
        ("delete", "A", "gone"), ("change", "B", "other"), ("create", "C", "new"),
    ]  # fmt: skip
    assert [line for line in found[1].diff if line[0] in "+-"] == ["-x: 1", "+x: 2"]
    assert sentence(found) == "3 objects in the cluster would change: 1 created, 1 changed, 1 deleted."


def test_order_comments_and_white_space_are_no_change() -> None:
    one = Rendering(1, "deployed", "---\n# Source: a\nkind: A\nmetadata: {name: a}\nx: 1\n", ())
    two = Rendering(2, "pending-upgrade", "# other\nx:   1\nmetadata:\n  name: a\nkind: A\n\n---\n", ())
    assert one.same(two)
    assert changes(one, two) == []


def test_hooks_are_compared_too() -> None:
    (found,) = changes(rendering(), rendering(hooks=(thing("Job", "migrate"),)))
    assert (found.action, found.hook) == ("create", True)


def test_what_cannot_be_read_is_not_shown() -> None:
    broken = Rendering(1, "deployed", "kind: Secret\ndata: {a: hunter2", ())
    (found,) = changes(None, broken)
    assert "hunter2" not in str(found)


VALUES = st.dictionaries(st.sampled_from("abc"), st.from_regex(r"secret[0-9]{4}", fullmatch=True))


@given(VALUES, VALUES, VALUES, VALUES)
def test_no_value_of_a_secret_is_ever_shown(
    old: dict[str, str], new: dict[str, str], one: dict[str, str], two: dict[str, str]
) -> None:
    before, after = thing("Secret", "s", data=old, stringData=one), thing("Secret", "s", data=new, stringData=two)
    before["metadata"]["annotations"] = {"last": json.dumps(old)}
    after["metadata"]["annotations"] = {"last": json.dumps(new)}
    found = changes(rendering(before), rendering(after))
    assert bool(found) == (before != after)
    shown = "\n".join(line for change in found for line in change.diff)
    assert "secret" not in shown
    for key in old.keys() & new.keys():
        assert old[key] == new[key] or f"+  {key}: (changed)" in shown
