"""The Jinja2 environment of all templates: what an expression may do, and the words that refuse the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import wraps
from typing import TYPE_CHECKING, Any

from lineal.config.filters import semver, slug
from lineal.text import closest, did_you_mean, printable, quoted
from lineal.value import dataclass

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT = 16 * 1024 * 1024
"""Characters that a template, or a product inside it, may write."""
_CHANCE = ("random",)
_REMEDIES = {
    "env": "Give it with `--env NAME` or LINEAL_ENV.",
    "images": "Images are known in values templates only, not in lineal.yaml.",
    "environ": 'Use `env_var("NAME")`.',
    "image": "It can be printed under `publish`, as {{ image }} or {{ image | slug }}, and nothing else.",
    "project": "It can be printed under `publish`, as {{ project }} or {{ project | slug }}, and nothing else.",
}
NO_VALUE = "Test it with `{% if … %}`, or write a default: `{{ … | default('text', true) }}`."
"""The remedy for an expression without a value."""
_TEXT_FILTERS = ("capitalize", "lower", "replace", "string", "title", "trim", "truncate", "upper")
"""Filters that would make the word `None` of no value."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Marks that a template writes for what is not known yet, or has no value; without them both are refused."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Names that may be used as texts."""
    prints: Mapping[str, str] = field(default_factory=dict)
    """Names that may be printed, and only that ..."""
    slugs: Mapping[str, str] = field(default_factory=dict)
    """... or printed as a slug."""
    absent: str = ""
    """For an expression without a value."""


NONE_DEFERRED = Deferred()


class Refusal(str):
    """A sentence and its remedy, in the one place where Jinja2 lets a message through."""

    __slots__ = ("remedy",)
    remedy: str

    def __new__(cls, what: str, remedy: str) -> Refusal:
        made = super().__new__(cls, what)
        made.remedy = remedy
        return made


class Refused(Exception):
    """An expression that is possible in Jinja2 and not allowed here; its argument is a `Refusal`."""


def environment(names: Mapping[str, object], deferred: Deferred = NONE_DEFERRED) -> ImmutableSandboxedEnvironment:
    """Sandboxed, strict and repeatable; user data wins over methods, so `vars.items` is the variable `items`."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import missing

    class Undefined(StrictUndefined):
        __slots__ = ()

        @property
        def _undefined_message(self) -> str:
            if self._undefined_hint:
                return Refusal(
                    f"This is refused: {printable(self._undefined_hint, 300)}",
                    "Use plain names, attributes and filters.",
                )
            if self._undefined_obj is missing:
                return _unknown_name(str(self._undefined_name), names)
            return _unknown_attribute(self._undefined_obj, str(self._undefined_name), names)

        def __str__(self) -> Any:
            return self.mark(deferred.texts)

        def mark(self, marks: Mapping[str, str]) -> Any:
            if self._undefined_obj is missing and self._undefined_name in marks:
                return marks[str(self._undefined_name)]
            return self._fail_with_undefined_error()

        def printed(self) -> Any:
            return self.mark({**deferred.texts, **deferred.prints})

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _refuse_growth(operator, left, right)
            return super().call_binop(context, operator, left, right)

    def printed(value: Any) -> Any:
        if isinstance(value, Undefined):
            return value.printed()
        return deferred.absent if value is None and deferred.absent else _printed(value)

    def slugged(value: Any) -> str | None:
        return value.mark(deferred.slugs) if isinstance(value, Undefined) else slug(value)

    made = Environment(
        undefined=Undefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=printed
    )
    for chance in _CHANCE:
        del made.filters[chance]
    for name in _TEXT_FILTERS:
        made.filters[name] = _none_for_none(made.filters[name])
    made.filters["slug"], made.filters["semver"] = slugged, semver
    del made.globals["lipsum"]
    return made


def _none_for_none(filter: Callable[..., Any]) -> Callable[..., Any]:
    first = 1 if hasattr(filter, "jinja_pass_arg") else 0

    @wraps(filter)
    def kept(*given: Any, **named: Any) -> Any:
        return None if len(given) > first and given[first] is None else filter(*given, **named)

    return kept


def _unknown_name(name: str, known: Mapping[str, object]) -> Refusal:
    remedy = _REMEDIES.get(name) or did_you_mean(name, known, owner="Templates may use")
    return Refusal(f"The template uses {quoted(name)}, which is not defined.", remedy)


def _unknown_attribute(owner: Any, name: str, known: Mapping[str, object]) -> Refusal:
    title = next((key for key, value in known.items() if value is owner), None)
    members = [str(key) for key in owner] if isinstance(owner, Mapping) else _public(owner)
    what = f"The template uses {quoted(f'{title}.{name}' if title else name)}, which is not defined."
    near = closest(name, members)
    if near is not None:
        spelled = f".{near}" if near.isidentifier() else f'["{near}"]'
        return Refusal(what, f"Did you mean {quoted((title or '') + spelled)}?")
    if title == "vars":
        return Refusal(what, f"Give it with `--var {printable(name)}=VALUE`.")
    if title == "images":
        where = 'There is no image of that name; write images["a-name"] for a name with `-`, `.` or `/`.'
        return Refusal(what, where)
    return Refusal(what, did_you_mean(name, members, owner="It has"))


def _public(value: object) -> list[str]:
    if isinstance(value, str | int | float | list | tuple):
        return []
    return [name for name in dir(value) if not name.startswith("_") and not callable(getattr(value, name, None))]


def _printed(value: Any) -> Any:
    """The text of an expression's value. An object's address or a `None` would make the text differ or mislead."""
    if value is None:
        raise Refused(Refusal("An expression has no value.", NO_VALUE))
    _check_spelling(value)
    return value


def _check_spelling(value: Any) -> None:
    from jinja2 import Undefined

    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_spelling(item)
    if value is not None and not isinstance(value, str | int | float | list | tuple | dict | Undefined):
        what = f"An expression gives a {type(value).__name__}, not text."
        raise Refused(Refusal(what, "Name a part of it, call it with `()`, or make it a list with `| list`."))


def _refuse_growth(operator: str, left: Any, right: Any) -> None:
    """`"x" * 10**9` and `9**9**9` would fill the memory before anything is written."""
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        too_big = left.bit_length() * right > 4096
    else:
        sized = [value for value in (left, right) if isinstance(value, str | list | tuple)]
        times = [value for value in (left, right) if isinstance(value, int)]
        too_big = operator == "*" and bool(sized and times) and len(sized[0]) * times[0] > MAX_OUTPUT
    if too_big:
        raise Refused(Refusal(f"The result of `{operator}` is too big.", "Use smaller numbers."))
