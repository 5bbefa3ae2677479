"""Values are what the standard library's dataclasses are, whatever their fields are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from lineal import value

KINDS: list[Callable[..., Any]] = [dataclasses.dataclass, value.dataclass]


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_equality_hash_and_text_are_those_of_a_dataclass(frozen: bool, slots: bool) -> None:
    def make(dataclass: Callable[..., Any]) -> Any:
        class Point:
            x: int
            y: list[int] | int = dataclasses.field(default=0)
            note: str = dataclasses.field(default="", compare=False, repr=False)

        return dataclass(frozen=frozen, slots=slots)(Point)

    theirs, ours = map(make, KINDS)
    for kind in (theirs, ours):
        assert kind(1, 2) == kind(1, 2, "other") != kind(2, 2)
        assert (kind(1) != (1, 0) and kind(1) != theirs(1)) or kind is theirs
        assert dataclasses.replace(kind(1), y=3) == kind(1, 3)
        assert (kind(1), kind.__match_args__) == (kind(x=1), ("x", "y", "note"))
        if frozen:
            assert len({kind(1), kind(1, 0, "n"), kind(2)}) == 2
        else:
            with pytest.raises(TypeError, match="unhashable"):
                hash(kind(1))
        assert hasattr(kind(1), "__dict__") is not slots
    assert repr(ours(1, [2])) == repr(theirs(1, [2]))


def test_what_a_class_says_itself_stays() -> None:
    @value.dataclass(frozen=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

    assert repr(Named("A")) == "<A>" and len({Named("A"), Named("a")}) == 1


def test_without_equality_each_is_itself() -> None:
    @value.dataclass(eq=False)
    class Job:
        name: str

    one = Job("a")
    assert one != Job("a") and {one: 1}[one] == 1


def test_a_class_that_extends_another_compares_all_of_it() -> None:
    @value.dataclass
    class Base:
        a: int

    @value.dataclass
    class More(Base):
        b: int = 0

    @value.dataclass
    class Empty: ...

    assert More(1, 2) == More(1, 2) != More(1, 3)
    assert Base(1) != More(1) and Empty() == Empty()


@pytest.mark.parametrize("slots", [False, True])
def test_values_are_made_as_a_dataclass_makes_them(slots: bool) -> None:
    def make(dataclass: Callable[..., Any]) -> Any:
        class Base:
            a: int

        class More(dataclass(slots=slots)(Base)):  # type: ignore[misc]
            items: list[int] = dataclasses.field(default_factory=list)
            counted: int = dataclasses.field(default=7, init=False)
            kept: dict[str, int] = dataclasses.field(default_factory=dict, init=False)
            late: str = dataclasses.field(default="", kw_only=True)
            needed: int = dataclasses.field(kw_only=True)

            def __post_init__(self) -> None:
                self.items.append(self.a)

        return dataclass(slots=slots)(More)

    theirs, ours = map(make, KINDS)
    calls: list[Callable[[Any], Any]] = [
        lambda make: make(1, needed=2),
        lambda make: make(1, [5], needed=2, late="x"),
    ]
    for call in calls:
        one, other = call(theirs), call(ours)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert ours(1, needed=2).items is not ours(1, needed=2).items
    for kind in (theirs, ours):
        with pytest.raises(TypeError):
            kind(needed=2)
        with pytest.raises(TypeError):
            kind(1, [], 3)
