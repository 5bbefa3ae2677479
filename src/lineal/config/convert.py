"""From a document to a model, by msgspec; what does not fit is found again and named with its line and key."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from lineal.config.document import Document, Node, Path
from lineal.errors import BadConfiguration, Location, Problems
from lineal.text import did_you_mean, printable, quoted

T = TypeVar("T", bound=msgspec.Struct)


def convert(document: Document, model: type[T]) -> T:
    """Raises `BadConfiguration` for all that does not fit `model`, in the order of the file."""
    try:
        return msgspec.convert(document.plain(), model)
    except msgspec.ValidationError as error:
        problems = Problems()
        for found in _misfits(document, document.root, model, ()):
            problems.add(found)
        problems.end()
        raise BadConfiguration(f"{printable(str(error))}.", id="LN-1004", place=Location(document.file)) from None


def _misfits(document: Document, node: Node, kind: Any, path: Path) -> Iterator[BadConfiguration]:
    """The parts of `node` that are not of this kind."""
    kind = _bare(kind, node)
    if _is_struct(kind) and isinstance(node.value, dict):
        yield from _in_struct(document, node, kind, path)
    elif get_origin(kind) is dict and isinstance(node.value, dict):
        yield from _in_mapping(document, node, kind, path)
    elif get_origin(kind) is list and isinstance(node.value, list):
        for index, child in enumerate(node.value):
            yield from _misfits(document, child, get_args(kind)[0], (*path, index))
    elif not _fits(node, kind):
        message, remedy = _mismatch(node, kind, path)
        yield BadConfiguration(message, id="LN-1004", place=document.place(path), remedy=remedy)


def _bare(kind: Any, node: Node) -> Any:
    """Without `Annotated` of fields and without `| None` (a null that is allowed never gets here). Of several kinds,
    a mapping is meant for the one that has keys."""
    if get_origin(kind) is Annotated and not _constrained(kind):
        return _bare(get_args(kind)[0], node)
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [arg for arg in get_args(kind) if arg is not type(None)]
        keyed = [arg for arg in kinds if _is_struct(arg)]
        if isinstance(node.value, dict) and keyed:
            kinds = keyed
        return _bare(kinds[0], node) if len(kinds) == 1 else kind
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _constrained(kind: Any) -> bool:
    limits = ("pattern", "ge")
    return any(getattr(meta, limit, None) is not None for limit in limits for meta in get_args(kind)[1:])


def _fits(node: Node, kind: Any) -> bool:
    try:
        msgspec.convert(node.value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _in_struct(document: Document, node: Node, kind: type[msgspec.Struct], path: Path) -> Iterator[BadConfiguration]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, child in node.value.items():
        if key not in fields:
            place = document.place((*path, key))
            remedy = did_you_mean(key, fields, owner="The keys here")
            yield BadConfiguration(f"The key {quoted(key)} is not known.", id="LN-1002", place=place, remedy=remedy)
        elif not _allows_null(fields[key].type, child):
            yield from _misfits(document, child, fields[key].type, (*path, key))
    for key, field in fields.items():
        if field.required and key not in node.value:
            message = f"The key `{key}` is missing and has no default."
            yield BadConfiguration(message, id="LN-1003", place=document.place(path), remedy=f"Write `{key}: …`.")


def _allows_null(kind: Any, node: Node) -> bool:
    return node.value is None and _fits(node, kind)


def _in_mapping(document: Document, node: Node, kind: Any, path: Path) -> Iterator[BadConfiguration]:
    key_kind, value_kind = get_args(kind)
    for key, child in node.value.items():
        if not _fits(Node(key, child.line), key_kind):
            message = f"{quoted(key)} is not a name that can be used here."
            place = document.place((*path, key))
            yield BadConfiguration(message, id="LN-1004", place=place, remedy=_rule(key_kind))
        yield from _misfits(document, child, value_kind, (*path, key))


def _rule(kind: Any) -> str:
    rules = [meta.extra["rule"] for meta in get_args(kind)[1:] if meta.extra]
    return rules[0] if rules else "Choose another."


def _mismatch(node: Node, kind: Any, path: Path) -> tuple[str, str]:
    choices = _choices(kind)
    if choices:
        written = quoted(str(node.raw if node.raw is not None else _title(node.value)))
        return f"{written} is none of the possible values.", did_you_mean(str(node.raw), choices, owner="They are")
    if get_origin(kind) is Annotated and get_args(kind)[0] is int:
        written = quoted(str(node.raw)) if node.raw is not None else _title(node.value)
        return f"The value must be a whole number in bounds, and this is {written}.", _rule(kind)
    if get_origin(kind) is Annotated and isinstance(node.value, str):
        return f"{quoted(node.value)} cannot be used here.", _rule(kind)
    if _wants_text(kind):
        return f"The value must be text, and this is {_title(node.value)}.", _quote_it(node, path)
    wanted = "a list" if get_origin(kind) is list else "a mapping"
    if node.value is None:
        empty = "[]" if wanted == "a list" else "{}"
        last = path[-1] if path and isinstance(path[-1], str) else None
        written = f"`{printable(last)}: {empty}`" if last else empty
        return f"There is no value, and {wanted} is needed.", f"Write {written} for the defaults, or remove the key."
    shape = "`- item` lines or `[item, …]`" if wanted == "a list" else "indented `key: value` lines"
    return f"The value must be {wanted}, and this is {_title(node.value)}.", f"Write {shape}."


def _choices(kind: Any) -> list[str]:
    """The values of a kind that has only a few: words, and `true` or `false` among them."""
    if get_origin(kind) in (Union, types.UnionType):
        words = {bool: ["true", "false"]}
        kinds = [arg for arg in get_args(kind) if arg is not type(None)]
        return [
            choice for arg in kinds for choice in words.get(arg) or (_choices(arg) or ["a mapping"] * _is_struct(arg))
        ]
    return [str(arg) for arg in get_args(kind)] if str(get_origin(kind)) == "typing.Literal" else []


def _wants_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) is Annotated and get_args(kind)[0] is str)


def _quote_it(node: Node, path: Path) -> str:
    if node.value is None:
        return 'Write `""` for empty text, or remove the key.'
    if isinstance(node.value, dict | list):
        return 'Write one text; quote it when it starts with a bracket: "{{ … }}".'
    last = path[-1] if path else ""
    key = f"{printable(last)}: " if isinstance(last, str) and last else ""
    return f'Quote it: `{key}"{printable(str(node.raw))}"`.'


def _title(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    titles = {int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return titles[type(value)]
