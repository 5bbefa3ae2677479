"""Chart.yaml and its siblings, read so strictly that helm reads the same, and written anew.

Two readers of YAML may see different things: Go takes keys in any case, and folds `ſ` to `s`; tags change a text.
So what is odd where dependencies stand is refused, and the rest is written in plain ASCII, without tags, aliases and
a second document, before helm reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.errors import BadConfiguration, Location
from lineal.text import quoted

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

_BIGGEST = 1 << 20
"""Bytes of one file."""
_MOST = 20_000
"""Nodes of one file, its aliases resolved."""
_TOP = frozenset({"dependencies", "digest", "generated", "name", "version", "apiversion", "type"})
_FIELDS = ("name", "version", "repository")
_KNOWN = frozenset({*_FIELDS, "condition", "tags", "enabled", "import-values", "alias"})
_SPELLED = {"apiversion": "apiVersion"}
_NULL = ("", "~", "null", "Null", "NULL")


def rewritten(file: Path, place: Location) -> list[dict[str, str]]:
    """`name`, `version` and `repository` of each dependency in the file, which is written anew. A missing file has
    none. Raises `BadConfiguration` for what helm might read otherwise."""
    import yaml

    if not file.is_file():
        return []
    if file.stat().st_size > _BIGGEST:
        raise _odd(place, f"it is larger than {_BIGGEST >> 20} MiB")
    text = _decoded(file, place)
    try:
        if any(isinstance(token, yaml.TagToken) for token in yaml.scan(text, Loader=yaml.BaseLoader)):
            raise _odd(place, "it has tags of YAML")
        loader = yaml.BaseLoader(text)
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            return []
        plain = _plain(root, [_MOST], place)
        found = _dependencies(plain, place)
        file.write_text(yaml.serialize(plain, Dumper=yaml.BaseDumper, width=1000), encoding="ascii")
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _odd(place, "it is no YAML that can be read") from None
    return found


def _decoded(file: Path, place: Location) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except ValueError:
        raise _odd(place, "it is not UTF-8") from None


def _plain(node: Node, left: list[int], place: Location) -> Node:
    """A copy of the node in which each alias is what it stands for. `left`: how many nodes there may still be."""
    import yaml

    left[0] -= 1
    if left[0] < 0:
        raise _odd(place, f"it has more than {_MOST} values")
    if isinstance(node, yaml.ScalarNode):
        return yaml.ScalarNode(node.tag, node.value, style=node.style)
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [_plain(part, left, place) for part in node.value], flow_style=False)
    pairs = [(_plain(key, left, place), _plain(value, left, place)) for key, value in node.value]
    return yaml.MappingNode(node.tag, pairs, flow_style=False)


def _dependencies(root: Node, place: Location) -> list[dict[str, str]]:
    import yaml

    if not isinstance(root, yaml.MappingNode):
        raise _odd(place, "it holds no keys")
    listed = _fields(root, _TOP, place).get("dependencies")
    if listed is None or (isinstance(listed, yaml.ScalarNode) and _text(listed, place) == ""):
        return []
    if not isinstance(listed, yaml.SequenceNode):
        raise _odd(place, "its `dependencies` are no list")
    found = []
    for entry in listed.value:
        if not isinstance(entry, yaml.MappingNode):
            raise _odd(place, "one of its `dependencies` has no keys")
        fields = _fields(entry, _KNOWN, place)
        found.append({key: _text(fields[key], place) if key in fields else "" for key in _FIELDS})
    return found


def _fields(node: MappingNode, known: frozenset[str], place: Location) -> dict[str, Node]:
    """The values by key. Raises for a key that means a known one and is written otherwise, or stands there twice."""
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key.value, str) else ""
        folded = name.casefold()
        meant = _SPELLED.get(folded, folded)
        if name == "<<" or (folded in known and name != meant):
            raise _odd(place, f"it has a key {quoted(name)}", f"Write `{meant}`." if name != "<<" else None)
        if name in found:
            raise _odd(place, f"it has the key {quoted(name)} twice", "Remove one of them.")
        found[name] = value
    return found


def _text(node: Any, place: Location) -> str:
    if not isinstance(node.value, str):
        raise _odd(place, "it has a list where a text belongs")
    return "" if node.style is None and node.value in _NULL else node.value


def _odd(place: Location, why: str, remedy: str | None = None) -> BadConfiguration:
    what = f"helm might read this file otherwise than Lineal: {why}."
    return BadConfiguration(
        what, id="LN-6055", place=place, remedy=remedy or "Write it as `helm dependency update` does, in plain YAML."
    )
