"""A YAML document as plain values, with the line that every key came from.

Safe against hostile files: no tags, no duplicate keys, bounded depth, bounded growth by aliases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NoReturn

import yaml

from lineal.errors import BadConfiguration, Location
from lineal.text import printable, quoted
from lineal.value import dataclass

Path = tuple[str | int, ...]
MAX_DEPTH = 64
MAX_ALIASED = 10_000
"""Nodes that all aliases of a document may repeat together."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver: Any = yaml.resolver.Resolver()
_constructor = yaml.constructor.SafeConstructor()
_PREFIX = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Node:
    """`value` is a str, int, float, bool, None, list[Node] or dict[str, Node]; lines count from 1."""

    value: Any
    line: int
    raw: str | None = None
    """A scalar as it was written, without quotes."""
    key_line: int | None = None
    weight: int = 1
    """How many nodes it holds, itself included."""
    height: int = 0
    """How many levels it holds below itself."""


Lines = Callable[[int], int | None]
"""From a line of the text that was parsed to the line of `file` that made it, None when that is not known."""


def same(line: int) -> int | None:
    """The text is the file."""
    return line


@dataclass(frozen=True, slots=True)
class Document:
    file: str
    root: Node
    lines: Lines = same

    def place(self, path: Path) -> Location:
        """Where `path` is written, or else the nearest part of the document that would hold it."""
        for length in range(len(path), -1, -1):
            node = self.node(path[:length])
            if node is not None:
                return Location(self.file, self.lines(node.key_line or node.line), spell(path) or None)
        return Location(self.file, None, spell(path) or None)

    def plain(self) -> Any:
        return _plain(self.root)

    def node(self, path: Path) -> Node | None:
        """The node at `path`, None when the document does not have it."""
        node = self.root
        for step in path:
            try:
                node = node.value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def nodes(self) -> Iterator[tuple[Path, Node]]:
        """Every node below the root, in the order of the file."""
        yield from _walk((), self.root)


def spell(path: Path) -> str:
    """`images.api.secrets[0].id`"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + printable(step)
    return text


def parse(text: str, file: str, lines: Lines = same) -> Document:
    """Raises `BadConfiguration` with the line."""
    try:
        return Document(file, _Builder(text, file, lines).document(), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = text.count("\n") + (not text.endswith("\n"))
        line = lines(min(mark.line + 1, max(last, 1))) if mark else None
        if mark and _is_tab(text, mark.line, mark.column):
            message, remedy = "A tab stands where YAML takes spaces only.", "Indent with spaces, not tabs."
        else:
            message, remedy = f"The file is not valid YAML: {_explain(error)}.", _yaml_remedy(error)
        raise BadConfiguration(message, id="LN-1001", place=Location(file, line), remedy=remedy) from None
    except (yaml.YAMLError, UnicodeError) as error:
        position = getattr(error, "position", None)
        line = lines(text.count("\n", 0, position) + 1) if isinstance(position, int) else None
        message = "The file has a character that YAML does not allow."
        raise BadConfiguration(message, id="LN-1001", place=Location(file, line), remedy="Remove it.") from None


def _is_tab(text: str, line: int, column: int) -> bool:
    """libyaml names a tab only as a character that cannot start a token."""
    lines = text.splitlines()
    return line < len(lines) and lines[line][column : column + 1] == "\t"


def _explain(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return printable(", ".join(parts) or "it cannot be read", 200)


def _yaml_remedy(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "\\t" in problem or "tab" in problem:
        return "Indent with spaces, not tabs."
    if "mapping values are not allowed" in problem:
        return "Check the indentation, and quote a value that contains `: `."
    return "Check indentation, brackets and quotes there; quote a value that starts with a special character."


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(child) for child in node.value]
    return node.value


def _walk(path: Path, node: Node) -> Iterator[tuple[Path, Node]]:
    if isinstance(node.value, dict):
        children: list[tuple[str | int, Node]] = list(node.value.items())
    elif isinstance(node.value, list):
        children = list(enumerate(node.value))
    else:
        return
    for step, child in children:
        yield (*path, step), child
        yield from _walk((*path, step), child)


class _Builder:
    """Nodes from YAML's events: this keeps lines and lets limits be checked before anything grows."""

    def __init__(self, text: str, file: str, lines: Lines) -> None:
        self.file = file
        self.lines = lines
        self.events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        self.anchors: dict[str, Node | None] = {}
        self.aliased = 0

    def fail(self, line: int, message: str, remedy: str, path: Path = ()) -> NoReturn:
        raise BadConfiguration(
            message, id="LN-1001", place=Location(self.file, self.lines(line), spell(path) or None), remedy=remedy
        )

    def document(self) -> Node:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                line = _line(event)
                if root is not None:
                    self.fail(line, "The file has a second YAML document.", "Keep one and remove the `---` between.")
                root = self.build(next(self.events), ())
        return root if root is not None else Node(None, 1)

    def build(self, event: Any, path: Path) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, line)
        self.check_depth(len(path), line)
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        self.check_tag(event, path, line)
        if isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(path, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(path, line)
        else:
            node = self.scalar(event, line)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def check_depth(self, depth: int, line: int) -> None:
        if depth > MAX_DEPTH:
            self.fail(line, f"The file is nested deeper than {MAX_DEPTH} levels.", "Make it flatter.")

    def check_tag(self, event: Any, path: Path, line: int) -> None:
        if event.tag not in (None, "!"):
            self.fail(line, f"YAML tags such as {quoted(event.tag)} are not supported.", "Remove the tag.", path)

    def alias(self, event: Any, path: Path, line: int) -> Node:
        if event.anchor not in self.anchors:
            self.fail(line, f"The anchor {quoted(event.anchor)} is not defined above.", "Define it with `&`.", path)
        target = self.anchors[event.anchor]
        if target is None:
            self.fail(line, f"The alias {quoted('*' + event.anchor)} contains itself.", "Write the value out.", path)
        self.check_depth(len(path) + target.height, line)
        self.aliased += target.weight
        if self.aliased > MAX_ALIASED:
            message = f"The aliases of the file repeat more than {MAX_ALIASED} values."
            self.fail(line, message, "Write the values out.", path)
        return Node(target.value, line, target.raw, weight=target.weight, height=target.height)

    def sequence(self, path: Path, line: int) -> Node:
        items: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.build(event, (*path, len(items))))
        return _container(items, items, line)

    def mapping(self, path: Path, line: int) -> Node:
        items: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key_line = _line(event)
            key = self.key(event, path, key_line)
            if key in items:
                first = self.lines(items[key].key_line or 0)
                message = f"The key is written twice, first on line {first}."
                self.fail(key_line, message, "Keep one of them.", (*path, key))
            value = self.build(next(self.events), (*path, key))
            value.key_line = key_line
            if key == "<<" and _plain_style(event):
                self.merge(value, merged, path)
            else:
                items[key] = value
        held = {**merged, **items}
        return _container(held, held.values(), line)

    def key(self, event: Any, path: Path, line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            message = "A key is a list or a mapping; keys must be text."
            self.fail(line, message, 'Quote a value that starts with `{` or `[`: "{{ … }}".', path)
        self.check_tag(event, path, line)
        node = self.scalar(event, line)
        if not isinstance(node.value, str):
            message = f"The key {quoted(str(node.raw))} is not text."
            self.fail(line, message, f'Quote it: "{printable(str(node.raw))}".', path)
        return node.value

    def merge(self, value: Node, merged: dict[str, Node], path: Path) -> None:
        """`<<: *anchor` or `<<: [*one, *two]`: keys written out win, then earlier mappings."""
        sources = value.value if isinstance(value.value, list) else [value]
        for source in sources:
            if not isinstance(source.value, dict):
                self.fail(source.line, "`<<` merges mappings only.", "Give it an alias of a mapping.", (*path, "<<"))
            for key, child in source.value.items():
                merged.setdefault(key, child)

    def scalar(self, event: Any, line: int) -> Node:
        tag = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit) if _plain_style(event) else ""
        kind = str(tag).removeprefix(_PREFIX)
        return Node(_construct(kind, event.value), line, event.value)


def _container(value: Any, held: Collection[Node], line: int) -> Node:
    weight = 1 + sum(node.weight for node in held)
    return Node(value, line, weight=weight, height=1 + max((node.height for node in held), default=0))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _plain_style(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.tag is None


def _construct(kind: str, raw: str) -> Any:
    """A plain scalar. Dates and the rest of YAML 1.1's types stay the text that was written."""
    node = yaml.ScalarNode(_PREFIX + kind, raw)
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return _constructor.construct_yaml_bool(node)
        if kind == "int":
            return _constructor.construct_yaml_int(node)
        if kind == "float":
            return _constructor.construct_yaml_float(node)
    except (ValueError, OverflowError):  # `0x_` and 5,000 digits look like numbers but are none
        return raw
    return raw
