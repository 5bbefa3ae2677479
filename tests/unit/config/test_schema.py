"""The JSON Schema says what the program does: both accept the same files, and every field is described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineal.config.giterminism import Giterminism
from lineal.config.load import load
from lineal.config.schema import schema
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration

TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "null": type(None)}
NOTES = {"$schema", "$id", "$defs", "title", "description", "default"}


def accepts(part: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """A checker for exactly the keywords in use; an unknown one fails the test."""

    def holds(keyword: str, rule: Any) -> bool:
        match keyword:
            case "$ref":
                return accepts(root["$defs"][rule.removeprefix("#/$defs/")], value, root)
            case "type":
                return isinstance(value, TYPES[rule])
            case "enum":
                return value in rule
            case "anyOf":
                return any(accepts(one, value, root) for one in rule)
            case "oneOf":
                return [accepts(one, value, root) for one in rule].count(True) == 1
            case "pattern":
                return not isinstance(value, str) or re.search(rule, value) is not None
            case "maxLength":
                return not isinstance(value, str) or len(value) <= rule
            case "minItems":
                return not isinstance(value, list) or len(value) >= rule
            case "maxItems":
                return not isinstance(value, list) or len(value) <= rule
            case "uniqueItems":
                return not isinstance(value, list) or len(set(map(repr, value))) == len(value)
            case "items":
                return not isinstance(value, list) or all(accepts(rule, item, root) for item in value)
            case "required":
                return not isinstance(value, dict) or all(key in value for key in rule)
            case "properties":
                return not isinstance(value, dict) or all(
                    accepts(rule[k], value[k], root) for k in rule if k in value
                )
            case "propertyNames":
                return not isinstance(value, dict) or all(accepts(rule, key, root) for key in value)
            case "additionalProperties":
                others = (
                    [key for key in value if key not in part.get("properties", {})] if isinstance(value, dict) else []
                )
                return not others if rule is False else all(accepts(rule, value[key], root) for key in others)
        raise AssertionError(f"unknown keyword {keyword}")

    return all(holds(keyword, rule) for keyword, rule in part.items() if keyword not in NOTES)


def loads(text: str) -> bool:
    try:
        load(text, env="e", vars={}, git=GitFacts("c", "c"), environ={}, giterminism=Giterminism())
    except BadConfiguration:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("project: a", True),
        ("project: a\nrepo: null\ndeploy: null", True),
        ("project: a\nimages: {x/y.z-1: {}}\nlock: none\nrepo: layout:x", True),
        ("project: a\nimages: {a: {args: {P: '3'}, secrets: [{id: n, env: N}, {id: m, file: /x}]}}", True),
        ("project: a\nimages: {a: {platforms: [linux/arm64]}}\ndeploy: {chart: c, values: [v], timeout: 1m}", True),
        ("images: {}", False),
        ("project: A", False),
        ("project: a\nimgs: {}", False),
        ("project: a\nimages: {A: {}}", False),
        ("project: a\nimages: {a: null}", False),
        ("project: a\nimages: {a: {args: {P: 3}}}", False),
        ("project: a\nimages: {a: {args: {1P: '3'}}}", False),
        ("project: a\nimages: {a: {secrets: [{id: n}]}}", True),
        ("project: a\nimages: {a: {secrets: [{id: n, env: N, file: f}]}}", False),
        ("project: a\nimages: {a: {platforms: []}}", False),
        ("project: a\nimages: {a: {platforms: [linux/amd64, linux/arm64]}}", True),
        ("project: a\nimages: {a: {platforms: [linux/amd64, linux/amd64]}}", False),
        ("project: a\nengines: {linux/arm64: docker}", True),
        ("project: a\nengines: {arm: docker}", False),
        ("project: a\nlock: etcd", False),
        ("project: a\nlock: etcd:https://user:word@host:2379", False),
        ("project: a\nlock: 'git:'", False),
        ("project: a\nlock: 'kubernetes:'", False),
        ("project: a\nlock: kubernetes:Team", False),
        ("project: a\nlock: git", True),
        ("project: a\nlock: kubernetes", True),
        ("project: a\nlock: kubernetes:ci-locks", True),
        ("project: a\nlock: etcd:https://etcd.example.com:2379", True),
        ("project: a\nlock: etcd:http://[::1]:2379", True),
        ("project: a\ndeploy: {}", False),
        ("project: a\ndeploy: {manifests: [k8s]}", True),
        ("project: a\ndeploy: {manifests: []}", False),
        ("project: a\ndeploy: {kustomize: k8s}", True),
        ("project: a\ndeploy: {templates: [compose.yaml.j2]}", True),
        ("project: a\ndeploy: {chart: a, templates: [b]}", False),
    ],
)
def test_schema_and_program_agree(text: str, valid: bool) -> None:
    made = schema()
    assert accepts(made, yaml.safe_load(text), made) is valid
    assert loads(text) is valid


def test_the_designs_example_is_valid() -> None:
    made = schema()
    assert accepts(made, yaml.safe_load(Path(__file__).with_name("example.yaml").read_text()), made)


@pytest.mark.parametrize(("model", "name"), [(None, "lineal.yaml"), (Giterminism, "lineal-giterminism.yaml")])
def test_every_field_is_described_and_no_other_is_allowed(model: Any, name: str) -> None:
    made = schema(model, name=name) if model else schema()
    assert made["title"] == name
    assert name in made["$id"]
    for title, part in made["$defs"].items():
        assert part["additionalProperties"] is False
        assert part["description"], title
        assert "\n   " not in part["description"]
        for field, shape in part["properties"].items():
            assert shape.get("description"), f"{title}.{field}"
