"""The part of HCL that bake files are written in, read as the JSON that means the same.

Texts, numbers, lists, objects, variables and the matrix of a target have values; what an operator or a function would
give is unknown. https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from lineal.init.build import UNKNOWN

Scope = Mapping[str, Any]
Expression = Callable[[Scope], Any]
_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<newline>\n)|(?P<text>\")|(?P<number>\d+(\.\d+)?)"
    r"|<<-?(?P<tag>\w+)\r?\n(?P<lines>.*?)\n?[ \t]*(?P=tag)(?=\r?\n|\Z)|(?P<name>[^\W\d][\w-]*)|(?P<sign>.)",
    re.DOTALL,
)
_MOST_TARGETS, _LONGEST = 64, 1 << 16
"""Targets of one matrix, and characters of a file that somebody wrote."""
_MARK = re.compile(r"\\.|(?<![$%])[$%]\{", re.DOTALL)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    value: str


@dataclass(slots=True)
class Block:
    kind: str = ""
    labels: tuple[str, ...] = ()
    attributes: dict[str, Expression] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


def read(text: str) -> dict[str, Any]:
    """`{"target": {name: attributes}}`. Raises `ValueError` for what is not HCL."""
    if len(text) > _LONGEST:
        raise ValueError("it is longer than anybody writes it")
    file = _Parser(text).body(Block(), end=None)
    scope: dict[str, Any] = {}
    for block in file.blocks:
        if block.kind == "variable" and block.labels:
            scope[block.labels[0]] = block.attributes.get("default", _unknown)(scope)
    for name, value in file.attributes.items():
        scope[name] = value(scope)
    targets = [
        found for block in file.blocks if block.kind == "target" and block.labels for found in _targets(block, scope)
    ]
    return {"target": dict(targets)}


def _targets(block: Block, scope: Scope) -> Iterator[tuple[str, dict[str, Any]]]:
    """A target, or one for each combination of its matrix."""
    matrix = block.attributes.get("matrix", _unknown)(scope)
    axes = (
        {key: value for key, value in matrix.items() if isinstance(value, list)} if isinstance(matrix, dict) else {}
    )
    for number, values in enumerate(islice(product(*axes.values()), _MOST_TARGETS)):
        own = {**scope, **dict(zip(axes, values, strict=True))}
        found = {key: value(own) for key, value in block.attributes.items() if key not in ("matrix", "name")}
        yield f"{block.labels[0]}-{number}" if axes else block.labels[0], found


def _unknown(_: Scope) -> Any:
    return UNKNOWN


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), Token("newline", "\n")]
        self._at = 0

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise ValueError("the file ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self) -> str:
        return self._tokens[self._at].value if self._at < len(self._tokens) else "\n"

    def body(self, block: Block, end: str | None) -> Block:
        """Attributes and blocks up to the bracket `end`, or to the end of the file."""
        while self._at < len(self._tokens):
            token = self._next()
            if token.kind == "newline":
                continue
            if token.value == end:
                return block
            if token.kind != "name":
                raise ValueError(f"{token.value!r} is no name")
            if self._peek() == "=":
                self._next()
                block.attributes[token.value] = self.expression()
            else:
                block.blocks.append(self._block(token.value))
        if end is not None:
            raise ValueError("a block is not closed")
        return block

    def _block(self, kind: str) -> Block:
        labels = []
        while (token := self._next()).value != "{":
            if token.kind not in ("text", "name"):
                raise ValueError(f"{token.value!r} is no label")
            labels.append(token.value)
        return self.body(Block(kind, tuple(labels)), "}")

    def expression(self) -> Expression:
        """A value; what goes on after it is more than is read here, and its value unknown."""
        found = self._value(self._next())
        while self._peek() == ".":
            self._next()
            found = _attribute(found, self._next().value)
        return _unknown if self._skipped() else found

    def _value(self, token: Token) -> Expression:
        if token.kind == "text":
            return _template(token.value)
        if token.kind == "name":
            name = token.value
            return lambda scope: _WORDS[name] if name in _WORDS else scope.get(name, UNKNOWN)
        if token.kind in ("lines", "number"):
            value = token.value if token.kind == "lines" else json.loads(token.value)
            return lambda _: value
        if token.value == "[":
            items = list(self._items("]", self.expression))
            return lambda scope: [item(scope) for item in items]
        if token.value == "{":
            pairs = dict(self._items("}", self._pair))
            return lambda scope: {key: value(scope) for key, value in pairs.items()}
        self._at -= 1
        return _unknown

    def _items(self, end: str, item: Callable[[], Any]) -> Iterator[Any]:
        while True:
            while self._peek() in ("\n", ","):
                self._next()
            if self._peek() == end:
                self._next()
                return
            yield item()

    def _pair(self) -> tuple[str, Expression]:
        key = self._next()
        if key.kind not in ("name", "text", "number") or self._next().value not in ("=", ":"):
            raise ValueError(f"{key.value!r} is no key")
        return key.value, self.expression()

    def _skipped(self) -> bool:
        """Whether there was more of the expression than its first value. The bracket of whom it is in stays."""
        start, depth = self._at, 0
        while self._at < len(self._tokens):
            value = self._peek()
            if depth == 0 and (value in ("\n", ",") or value in _CLOSE):
                break
            depth += (value in _OPEN) - (value in _CLOSE)
            self._next()
        return self._at > start


def _attribute(of: Expression, name: str) -> Expression:
    def value(scope: Scope) -> Any:
        found = of(scope)
        return found.get(name, UNKNOWN) if isinstance(found, dict) else UNKNOWN

    return value


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None and found.lastgroup is not None
        at = found.end()
        if found["text"]:
            end = _end(text, at, '"')
            yield Token("text", text[at : end - 1])
            at = end
        elif found["lines"] is not None:
            yield Token("lines", found["lines"])
        elif not found["space"]:
            kind = next(name for name in ("newline", "number", "name", "sign") if found[name])
            yield Token(kind, found[kind])


def _end(text: str, at: int, quote: str) -> int:
    """Where a text or a `${…}` in it that began before `at` is over."""
    while at < len(text):
        if text[at] == quote:
            return at + 1
        if quote == '"' and text[at] == "\\":
            at += 2
        elif quote == '"' and text[at : at + 2] in ("${", "%{") and text[at - 1] != text[at]:
            at = _end(text, at + 2, "}")
        elif quote == "}" and text[at] in '"{':
            at = _end(text, at + 1, '"' if text[at] == '"' else "}")
        else:
            at += 1
    raise ValueError("a text is not closed")


def _template(raw: str) -> Expression:
    """A text with the values of its `${…}`; one that is nothing else keeps its value's kind."""
    parts: list[Expression] = []
    at = 0
    while (start := _start(raw, at)) is not None:
        parts += [_literal(raw[at:start])] if start > at else []
        at = _end(raw, start + 2, "}")
        parts.append(_Parser(raw[start + 2 : at - 1]).expression() if raw[start] == "$" else _unknown)
    parts += [_literal(raw[at:])] if at < len(raw) or not parts else []
    if len(parts) == 1:
        return parts[0]
    return lambda scope: "".join(_spelt(part(scope)) for part in parts)


def _start(raw: str, at: int) -> int | None:
    """Where the next `${` or `%{` is that no sign before it makes a plain text."""
    return next((found.start() for found in _MARK.finditer(raw, at) if found[0][0] in "$%"), None)


def _literal(raw: str) -> Expression:
    text = re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), raw)
    text = text.replace("$${", "${").replace("%%{", "%{")
    return lambda _: text


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else UNKNOWN if value is None else json.dumps(value)
