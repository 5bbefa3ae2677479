"""The objects of manifests, in YAML that Helm and the cluster take."""

from __future__ import annotations

import pytest

from lineal.deploy.helm.manifests import ReleaseManifests
from lineal.deploy.helm.objects import UNREADABLE, read_objects

SECRET = "kind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"


def test_what_cannot_be_read_hides_no_other_object() -> None:
    """A Secret behind it is masked, a workload is watched."""
    text = f"---\nkind: A\n---\nkind: B\na: [\n---\n# only words\n--- # S\r\n{SECRET}"
    assert [one.get("kind") for one in read_objects(text)] == ["A", UNREADABLE, "Secret"]
    assert "hunter2" in ReleaseManifests(1, "deployed", text, ()).secrets


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2024-13-45", "2024-13-45"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("=", "="),
        ("12:30", "12:30"),
        ("!Ref x", "x"),
        ("!Sub {a: [1]}", {"a": [1]}),
        ("!!mine [b]", ["b"]),
        ("17", 17),
        ("1.5", 1.5),
        ("yes", True),
    ],
)
def test_values_are_what_the_cluster_gets(written: str, value: object) -> None:
    assert read_objects(f"data: {written}\n") == [{"data": value}]
