"""`--chmod`: octal, or symbolic as BuildKit knows it (`u=rwX,go=rX`; BSD's rules, with a umask of 0)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from lineal.regex import regex
from lineal.value import dataclass

_OCTAL = regex(r"[0-7]+")
_CLAUSE = regex(r"([augo]*)((?:[-+=][rwxXstugo]*)+)")
_ACTION = regex(r"([-+=])([rwxXstugo]*)")
_ALL, _STICKY, _EXECUTE = 0o6777, 0o1000, 0o111
_CLASSES = {"a": _ALL, "u": 0o4700, "g": 0o2070, "o": 0o007}
_BITS = {"r": 0o444, "w": 0o222, "x": _EXECUTE}
_SHIFT = {"u": 6, "g": 3, "o": 0}

_Step = tuple[str, int, str]
"""An operator (`+`, `-`, `=`, `X`), its bits, and the class that they are copied from."""


@dataclass(frozen=True, slots=True)
class Chmod:
    """A `--chmod`. Making one raises ValueError when the text is no mode."""

    text: str

    def __post_init__(self) -> None:
        if self.octal is None and _steps(self.text) is None:
            raise ValueError("is neither an octal mode up to 7777 nor one such as u=rwX,go=rX")

    @property
    def octal(self) -> int | None:
        number = int(self.text, 8) if _OCTAL.fullmatch(self.text) else -1
        return number if 0 <= number <= 0o7777 else None

    @property
    def parents(self) -> int:
        """The mode of directories that are made above a destination. Only an octal mode applies to them too."""
        return 0o755 if self.octal is None else self.octal & 0o777

    def apply(self, mode: int, *, directory: bool) -> int:
        if self.octal is not None:
            return self.octal
        new = mode
        for operation, bits, source in _steps(self.text) or ():
            value = bits & (new >> _SHIFT[source] & 7) * _EXECUTE if source else bits
            if operation == "X":
                value = bits if directory or mode & _EXECUTE else 0
            if operation in "-=":
                new &= ~(bits if operation == "=" else value)
            if operation != "-":
                new |= value
        return new


@lru_cache(maxsize=64)
def _steps(text: str) -> tuple[_Step, ...] | None:
    """None for what is no mode."""
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not all(clauses):
        return None
    return tuple(step for clause in clauses if clause for step in _clause(clause[1], clause[2]))


def _clause(names: str, actions: str) -> Iterator[_Step]:
    who = 0
    for name in names:
        who |= _CLASSES[name]
    for operation, letters in _ACTION.findall(actions):
        yield from _action(who, operation, letters)


def _action(who: int, operation: str, letters: str) -> Iterator[_Step]:
    """One operator with its letters; what stands before a copied class takes effect before it."""
    copied = False
    groups = re.findall(r"[ugo]|[rwxXst]+", letters) or [""]
    for number, group in enumerate(groups, 1):
        if group and group in _SHIFT:
            yield operation, _classes(who), group
            copied = True
            continue
        bits, execute, who = _letters(group, who, operation)
        if bits or (operation == "=" and not copied and number == len(groups)):
            yield from _changed(who, operation, bits)
        if execute:
            yield "X", who & _EXECUTE if who else _EXECUTE, ""


def _letters(letters: str, who: int, operation: str) -> tuple[int, bool, int]:
    """The bits of some letters, whether an `X` is among them, and whom they are for."""
    bits, execute = 0, False
    for letter in letters:
        if letter in "st":
            if who and not who & ~0o007:
                continue
            bits |= 0o6000 if letter == "s" else _STICKY
            who |= _STICKY if letter == "t" else 0
        elif letter == "X" and operation != "-":
            execute = True
        else:
            bits |= _BITS.get(letter, _EXECUTE)
    return bits, execute, who


def _changed(who: int, operation: str, bits: int) -> Iterator[_Step]:
    meant = who & bits if who else bits
    if operation == "=":
        yield "-", who or _ALL, ""
        operation = "+"
    yield operation, meant, ""


def _classes(who: int) -> int:
    mask = sum(0o7 << shift for name, shift in _SHIFT.items() if who & 0o4 << shift)
    return mask if who else 0o777
