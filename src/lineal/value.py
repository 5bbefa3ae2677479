"""`dataclass` of the standard library, in a third of its time.

It writes the text of six methods for a frozen class and has Python compile each. A run that finds everything needs a
hundred such classes, and making them took longer than all else that it does. Here only `__init__` is written; the
other methods are shared. Nothing stops a program from changing a frozen value: mypy does."""

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
            made = dataclasses.dataclass(cls, eq=False, repr=False, **options)
            if "__repr__" not in given:
                made.__repr__ = _repr
            if eq and "__eq__" not in given:
                made.__eq__, made._compared = _eq, _getter(made)
                made.__hash__ = given.get("__hash__") or (_hash if frozen else None)
            return made

        return made if cls is None else made(cls)


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
