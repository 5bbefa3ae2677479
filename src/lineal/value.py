"""`dataclass` of the standard library, in a tenth of its time.

It writes the text of six methods for a frozen class and has Python compile each. A run that finds everything needs a
hundred and fifty such classes, and making them took longer than all else that it does. Here only `__init__` is
written, when many values are made, which few classes see; the other methods are shared. Nothing stops a program from
changing a frozen value: mypy does.

`msgspec.Struct` makes a class in less still: some 1.5 ms in place of 9 for the 129 classes of a cached run, which
takes 165 ms of processor. But it has no field that `repr` or `==` leaves out, as values with secrets need, nor do
`dataclasses.replace` and a cached property take it: such classes would have to say more, not less."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, **options: bool) -> Any:
        def made(cls: type) -> type:
            given = cls.__dict__
            if cls.__doc__ is None:
                cls.__doc__ = cls.__name__  # else it is the signature, which takes long to find out
            made = dataclasses.dataclass(cls, eq=False, repr=False, init=False, **options)
            if "__init__" not in given:
                made.__init__ = _late_init(made)
            if "__repr__" not in given:
                made.__repr__ = _repr
            if eq and "__eq__" not in given:
                made.__eq__, made._compared = _eq, _getter(made)
                made.__hash__ = given.get("__hash__") or (_hash if frozen else None)
            return made

        return made if cls is None else made(cls)


_FEW = 16
"""Values of a class that are made without an `__init__` of its own: to write one takes as long."""
_NOT_GIVEN = object()


def _late_init(cls: type) -> Callable[..., None]:
    """An `__init__` that has the real one written after a few values, which takes its place."""
    values = 0

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        nonlocal values
        values += 1
        if values > _FEW or not _filled(self, cls, args, named):
            made = _init(cls)
            cls.__init__ = made  # type: ignore[misc]
            made(self, *args, **named)

    return __init__


def _filled(self: Any, cls: type, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Set the fields one by one; False for arguments that the real `__init__` refuses."""
    at = used = 0
    for field in dataclasses.fields(cls):
        value = _NOT_GIVEN
        if field.init and not field.kw_only and at < len(args):
            value, at = args[at], at + 1
        elif field.init and field.name in named:
            value, used = named[field.name], used + 1
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.init:
            return False
        if value is not _NOT_GIVEN:
            setattr(self, field.name, value)
    if at < len(args) or used < len(named):
        return False
    if hasattr(cls, "__post_init__"):
        self.__post_init__()
    return True


def _init(cls: type) -> Callable[..., None]:
    names: dict[str, Any] = {"_missing": dataclasses.MISSING}
    parameters, lines = ["self"], list[str]()
    only_named = list[str]()
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        names[f"_default_{name}"], names[f"_make_{name}"] = field.default, field.default_factory
        made = field.default_factory is not dataclasses.MISSING
        if made:
            value = f"_make_{name}() if {name} is _missing else {name}" if field.init else f"_make_{name}()"
        elif not field.init:
            value = f"_default_{name}"
        if field.init:
            default = made or field.default is not dataclasses.MISSING
            given = f"{name}=_default_{name}" if default else name
            (only_named if field.kw_only else parameters).append(given)
        if field.init or made or field.default is not dataclasses.MISSING:
            lines.append(f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    if only_named:
        parameters += ["*", *only_named]
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), names)  # noqa: S102 (our own)
    made_init: Callable[..., None] = names["__init__"]
    return made_init


def _getter(cls: type) -> Callable[[Any], Any]:
    names = [field.name for field in dataclasses.fields(cls) if field.compare]
    return staticmethod(attrgetter(*names) if names else lambda _: ())


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    return self._compared(self) == self._compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._compared(self))
