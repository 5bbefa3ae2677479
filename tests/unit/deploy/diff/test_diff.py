"""The diff of a plan: every object that differs, no value of a Secret."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.config.secrets import Mask
from lineal.deploy.diff.diff import between
from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.report.diff import sentence
from lineal.report.model import ChangeReport


def rendering(*objects: dict[str, Any], hooks: tuple[dict[str, Any], ...] = ()) -> ReleaseManifests:
    text = "\n---\n".join(json.dumps(one) for one in objects)
    return ReleaseManifests(
        1, "deployed", text, tuple((str(number), json.dumps(one)) for number, one in enumerate(hooks))
    )


def thing(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, **fields}


def changes(old: ReleaseManifests | None, new: ReleaseManifests) -> list[ChangeReport]:
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
    one = ReleaseManifests(1, "deployed", "---\n# Source: a\nkind: A\nmetadata: {name: a}\nx: 1\n", ())
    two = ReleaseManifests(2, "pending-upgrade", "# other\nx:   1\nmetadata:\n  name: a\nkind: A\n\n---\n", ())
    assert one.same(two)
    assert changes(one, two) == []


def test_hooks_are_compared_too() -> None:
    (found,) = changes(rendering(), rendering(hooks=(thing("Job", "migrate"),)))
    assert (found.action, found.hook) == ("create", True)


def test_what_cannot_be_read_is_not_shown() -> None:
    broken = ReleaseManifests(1, "deployed", "kind: Secret\ndata: {a: hunter2", ())
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


FILE = "# settings \nlevel = info\n\tpath = x\ncr\r\n\nuser = app\n"


def test_a_file_in_a_config_map_is_compared_line_by_line() -> None:
    """Whatever is in it: YAML itself writes a text with tabs, or blanks at the end of a line, as one line."""
    old, new = FILE, FILE.replace("info", "debug")
    (found,) = changes(rendering(thing("ConfigMap", "c", data={"app.conf": old, "list": [old]})),
                       rendering(thing("ConfigMap", "c", data={"app.conf": new, "list": [new]})))  # fmt: skip
    assert [line for line in found.diff if line[0] in "+-"] == [
        "-    level = info", "+    level = debug", "-    level = info", "+    level = debug",
    ]  # fmt: skip
    (created,) = changes(rendering(), rendering(thing("ConfigMap", "c", data={"a": FILE, "b": "x\ny"})))
    assert created.diff[4:] == [
        "+data:", "+  a: |", "+    # settings ", "+    level = info", "+    \tpath = x", "+    cr\\r", "+",
        "+    user = app", "+  b: |-", "+    x", "+    y",
    ]  # fmt: skip


# --- secrets elsewhere ----------------------------------------------------------------------------------------------

SECRETS = ["pg: it's#hunter2", 'p\\w"é\x01hunter2', "hunter2\tsecret", "hunter2 " * 2000 + "end", "a%hunter2&b/c+d"]


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def in_lines(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


ENCODINGS: list[Callable[[str], str]] = [
    str, coded, in_lines, json.dumps, lambda text: json.dumps({"a": {"b": text}}, indent=1),
    lambda text: text.replace("'", "''"), lambda text: f"postgres://user:{quote(text, safe='')}@host/db",
    lambda text: f"parts/{coded(text)}/x", lambda text: coded(f"user:{text}"), html.escape,
]  # fmt: skip


def shown(old: ReleaseManifests, new: ReleaseManifests, mask: Callable[[str], str] = str) -> str:
    return "\n".join(line for change in between(old, new, mask) for line in change.diff)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoded", ENCODINGS)
def test_an_encrypted_value_is_hidden_however_it_is_spelled(encoded: Callable[[str], str], secret: str) -> None:
    text = f"one: 1\n{encoded(secret)}\ntwo: 2"
    key = encoded(secret) if len(encoded(secret)) < 1000 else "key"  # no key of YAML is longer
    for data in ({"url": encoded(secret)}, {key: encoded(secret)}, {"url": text}, {"list": [{"deep": text}]}):
        found = shown(rendering(), rendering(thing("ConfigMap", "c", data=data)), Mask([secret]).mask)
        assert "***" in found
        for part in ("hunter2", secret[:12], coded(secret)[:12], coded(f"user:{secret}")[8:20]):
            assert part not in found, found


def test_a_megabyte_in_one_line_is_searched_too() -> None:
    """As a binary file in a config map: base64 without an end of line."""
    data = {"file": coded("x" * 1_000_000 + "hunter2")}
    assert "***" in shown(rendering(), rendering(thing("ConfigMap", "c", data=data)), Mask(["hunter2"]).mask)


def test_what_is_no_secret_stays_as_it_is() -> None:
    text = "a \"quoted\" \\n line, 100%25, it''s configuration/values/aGVsbG8gd29ybGQ= &amp;\n- more\n"
    found = shown(rendering(), rendering(thing("ConfigMap", "c", data={"text": text})), Mask(["hunter2"]).mask)
    assert "".join(char for char in found if char not in "+\n ").count("***") == 0
    assert "aGVsbG8gd29ybGQ=" in found and "100%25" in found and "- more" in found


def test_a_value_of_a_secret_is_hidden_in_other_objects() -> None:
    """Short ones are ordinary words."""
    secret = thing("Secret", "s", stringData={"password": "correct horse", "user": "shop", "pin": "12345678"},
                   data={"token": coded("battery staple"), "binary": "/////////w=="})  # fmt: skip
    env = [{"name": "URL", "value": "pg://shop:correct horse@db"}, {"name": "TOKEN", "value": "battery staple"},
           {"name": "BINARY", "value": "/////////w=="}, {"name": "CODED", "value": coded("correct horse")},
           {"name": "NUMBER", "value": 12345678}]  # fmt: skip
    found = shown(rendering(), rendering(secret, thing("Pod", "shop", env=env)))
    for word in ("correct horse", "battery staple", "/////////w==", coded("correct horse"), "12345678"):
        assert word not in found
    assert "value: pg://shop:***@db" in found and "name: shop" in found
    # The old value is one as well.
    gone = shown(rendering(secret), rendering(thing("Pod", "shop", env=env)))
    assert "correct horse" not in gone


LISTS: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda one: {"apiVersion": "v1", "kind": "List", "items": [one]},
    lambda one: {"apiVersion": "v1", "kind": "SecretList", "items": [one]},
    lambda one: {"apiVersion": "v1", "kind": "SecretList", "items": [{"metadata": one["metadata"], **one}]},
    lambda one: {"apiVersion": "v1", "kind": "SecretList",
                 "items": [{key: value for key, value in one.items() if key != "kind"}]},
    lambda one: {"kind": "List", "items": [{"kind": "List", "items": [{"kind": "X"}, one]}]},
    lambda one: {"kind": "Anything", "items": ["text", one]},
]  # fmt: skip


@pytest.mark.parametrize("wrap", LISTS)
def test_a_secret_in_a_list_is_a_secret(wrap: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    after = rendering(wrap(thing("Secret", "s", stringData={"password": "hunter2"})))
    found = changes(None, after)
    assert "hunter2" not in str(found) and after.secrets[0] == "hunter2"
    assert ("Secret", "s") in [(one.kind, one.name) for one in found]


def test_lists_in_lists_have_an_end() -> None:
    deep = thing("Secret", "s", stringData={"password": "hunter2"})
    for _ in range(50):
        deep = {"kind": "List", "items": [deep]}
    found = changes(None, rendering(deep))
    assert len(found) == 1 and "hunter2" not in str(found)
    assert found[0].diff[-1] == "+These manifests have YAML that cannot be shown."


def test_a_misspelled_field_of_a_secret_is_hidden() -> None:
    assert "hunter2" not in shown(rendering(), rendering(thing("Secret", "s", stringdata={"password": "hunter2"})))


# --- what is the same object ----------------------------------------------------------------------------------------


def test_objects_of_two_groups_do_not_hide_each_other() -> None:
    def both(first: int, second: int) -> ReleaseManifests:
        return rendering(
            {**thing("X", "n", spec=first), "apiVersion": "a.io/v1"},
            {**thing("X", "n", spec=second), "apiVersion": "b.io/v1"},
        )

    for new in (both(2, 1), both(1, 2)):
        (found,) = changes(both(1, 1), new)
        assert [line for line in found.diff if line[0] in "+-"] == ["-spec: 1", "+spec: 2"]
    only = rendering({**thing("X", "n", spec=1), "apiVersion": "b.io/v1"})
    (found,) = changes(both(1, 1), only)
    assert found.action == "delete" and "-apiVersion: a.io/v1" in found.diff


def test_another_version_of_a_group_is_the_same_object() -> None:
    for old, new in (("a.io/v1beta1", "a.io/v1"), ("v1beta1", "v1")):
        (found,) = changes(
            rendering({**thing("X", "n"), "apiVersion": old}), rendering({**thing("X", "n"), "apiVersion": new})
        )
        assert found.action == "change"


def test_objects_without_a_name_do_not_hide_each_other() -> None:
    def jobs(*images: str) -> ReleaseManifests:
        return rendering(*({"kind": "Job", "metadata": {"generateName": "job-"}, "image": image} for image in images))

    assert [one.action for one in changes(jobs("a", "b"), jobs("c", "b"))] == ["change"]
    assert [one.action for one in changes(jobs("a"), jobs("a", "b"))] == ["create"]


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), (None, "null"), ("1", 1), ("a", ["a"])])
def test_another_type_is_another_value(old: object, new: object) -> None:
    before, after = rendering(thing("X", "n", spec={"a": [old]})), rendering(thing("X", "n", spec={"a": [new]}))
    assert not before.same(after) and [one.action for one in changes(before, after)] == ["change"]
    assert before.same(before) and changes(before, before) == []


def test_keys_are_texts_to_a_cluster() -> None:
    one = ReleaseManifests(1, "deployed", "kind: X\ndata: {2: a, true: b}\n", ())
    other = ReleaseManifests(2, "deployed", "kind: X\ndata: {'true': b, '2': a}\n", ())
    assert one.same(other)
