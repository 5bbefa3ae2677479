"""Values are what the standard library's dataclasses are, whatever their fields are."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lineal
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


@pytest.mark.parametrize("few", [0, 1, 16])
@pytest.mark.parametrize("slots", [False, True])
def test_values_are_made_as_a_dataclass_makes_them(slots: bool, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value, "_FEW", few)

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


NAMES = ("a", "cls", "names", "value", "_private")
KINDS_OF_FIELDS: list[dict[str, Any]] = [
    {}, {"default": 1}, {"default": ()}, {"default_factory": list}, {"init": False}, {"default": 2, "init": False},
    {"default_factory": dict, "init": False},
]  # fmt: skip
FLAGS = st.fixed_dictionaries({}, optional={name: st.booleans() for name in ("repr", "compare", "kw_only")})
FIELDS = st.tuples(st.sampled_from(KINDS_OF_FIELDS), FLAGS).map(lambda pair: pair[0] | pair[1])
OPTIONS = st.fixed_dictionaries(
    {}, optional={name: st.booleans() for name in ("frozen", "eq", "slots", "kw_only")}
)  # fmt: skip
CALLS = st.tuples(st.lists(st.integers(0, 2), max_size=4), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)))


def ordered(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """With those that must be given first, as any dataclass wants it."""
    return dict(sorted(fields.items(), key=lambda pair: "default" in pair[1] or "default_factory" in pair[1]))


def kind_of(dataclass: Callable[..., Any], parts: list[dict[str, dict[str, Any]]], options: dict[str, bool]) -> Any:
    """A class with these fields; the second part is of a class that extends the first."""
    found: Any = object
    for fields in parts:
        made = {name: dataclasses.field(**how) for name, how in fields.items()}
        text = {"__annotations__": dict.fromkeys(fields, "int"), "__module__": __name__, "__qualname__": "Made"}
        found = dataclass(**options)(type("Made", (found,), {**made, **text}))
    return found


def seen(kind: Any, call: tuple[list[int], dict[str, int]]) -> Any:
    """A value that is made in this way, or that there is none."""
    try:
        return kind(*call[0], **call[1])
    except TypeError:
        return None


def signature(kind: Any) -> list[Any]:
    return [(one.name, one.kind, one.default is one.empty) for one in inspect.signature(kind).parameters.values()]


def answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (TypeError, AttributeError) as error:
        return type(error)


@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), FIELDS, max_size=4).map(ordered), min_size=1, max_size=2),
    OPTIONS, st.lists(CALLS, min_size=1, max_size=4), st.sampled_from([0, 1, 16]),
)  # fmt: skip
def test_any_class_is_what_a_dataclass_of_the_standard_library_is(
    parts: list[dict[str, dict[str, Any]]], options: dict[str, bool], calls: list[Any], few: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(value, "_FEW", few)
        check_class(parts, options, calls)


def check_class(parts: list[dict[str, dict[str, Any]]], options: dict[str, bool], calls: list[Any]) -> None:
    try:
        theirs = kind_of(dataclasses.dataclass, parts, options)
    except TypeError:
        return  # it is none for the standard library either, as one whose first fields may be left out
    ours = kind_of(value.dataclass, parts, options)
    pairs = [(seen(theirs, call), seen(ours, call)) for call in calls]
    names = [field.name for field in dataclasses.fields(theirs)]
    assert (
        names == [field.name for field in dataclasses.fields(ours)] and theirs.__match_args__ == ours.__match_args__
    )
    for their, our in pairs:
        assert (their is None) is (our is None)
        if their is None:
            continue
        assert [getattr(our, name, None) for name in names] == [getattr(their, name, None) for name in names]
        if "__repr__" in theirs.__dict__ and options.get("eq", True):
            assert answer(lambda: repr(our)) == answer(lambda: repr(their))  # noqa: B023
            assert isinstance(answer(lambda: hash(our)), int) is isinstance(answer(lambda: hash(their)), int)  # noqa: B023
        for another, other in pairs:
            assert answer(lambda: our == other) == answer(lambda: their == another)  # noqa: B023


def test_no_class_uses_what_is_left_out() -> None:
    """Fields that only `__post_init__` gets, an order, hashes that are not those of equality."""
    for module in pkgutil.walk_packages(lineal.__path__, "lineal."):
        if module.name.endswith("__main__") or ".protocol" in module.name:
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and kind.__dict__.get("__repr__") is value._repr:
                said: Any = kind
                assert not said.__dataclass_params__.order and not said.__dataclass_params__.unsafe_hash, kind
                every = said.__dataclass_fields__.values()
                assert not [one.name for one in every if "InitVar" in str(one.type) or one.hash is not None], kind
