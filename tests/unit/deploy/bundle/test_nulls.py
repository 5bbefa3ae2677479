"""Nulls for subcharts: the default is taken out where it stands, and a null that nobody can settle stays."""

from __future__ import annotations

import json
from typing import Any

from lineal.deploy.bundle.nulls import settle


def chart(dependencies: str = "") -> dict[str, bytes]:
    return {
        "Chart.yaml": f"name: shop\ndependencies: [{dependencies}]\n".encode(),
        "charts/sub/Chart.yaml": b"name: sub\n",
        "charts/sub/values.yaml": json.dumps(
            {"port": 80, "limits": {"cpu": 1, "memory": 2}, "deep": {"a": 1}}
        ).encode(),
        "charts/sub/charts/deep/Chart.yaml": b"name: deep\n",
        "charts/sub/charts/deep/values.yaml": json.dumps({"a": 1, "b": 2}).encode(),
    }


def settled(files: dict[str, bytes], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    made, left = settle(files, given, given, json.loads)
    return {path: json.loads(data) for path, data in made.items() if path.endswith("values.yaml")}, left


def test_a_null_takes_the_default_of_a_subchart_and_of_its_subchart_away() -> None:
    given = {"sub": {"port": None, "limits": {"cpu": None}, "deep": {"a": None}, "more": None}, "own": None}
    values, left = settled(chart(), given)
    assert values["charts/sub/values.yaml"] == {"limits": {"memory": 2}, "deep": {}}
    assert values["charts/sub/charts/deep/values.yaml"] == {"b": 2}
    assert left == {"sub": {"limits": {}, "deep": {}, "more": None}, "own": None}


def test_one_other_name_of_a_subchart_is_known_and_two_are_left_to_helm() -> None:
    one = "{name: sub, alias: web}"
    values, left = settled(chart(one), {"web": {"port": None}, "sub": {"port": None}})
    assert "port" not in values["charts/sub/values.yaml"] and left == {"web": {}, "sub": {"port": None}}
    both = f"{one}, {{name: sub, alias: api}}"
    values, left = settled(chart(both), {"web": {"port": None}})
    assert values["charts/sub/values.yaml"]["port"] == 80 and left == {"web": {"port": None}}


def test_what_has_no_null_stays_byte_for_byte() -> None:
    files = chart() | {"charts/sub/values.yaml": b'{"port":   80}\n'}
    assert settle(files, {"sub": {"port": 1}}, {"sub": {"port": 1}}, json.loads)[0] == files
