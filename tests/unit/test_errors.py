"""The ids of failures: every error has one, it means one thing, it never goes, and docs/errors.md explains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lineal.errors import BadConfiguration, BuildFailed, LinealError, Location, MissingContent
from tests.tools import errors
from tests.tools.raises import Failure, Reader

KNOWN = {
    "areas": {"1": "Configuration"},
    "causes": {"LN-1001": "It is no YAML.", "LN-1002": "A typo."},
    "retired": {},
}
USED = [Failure("LN-1001", 3, "a.py:1", (("No YAML: ….", ""),)), Failure("LN-1002", 3, "b.py:2")]


def wrong(known: Mapping[str, Any] = KNOWN, used: list[Failure] = USED, page: str = "") -> list[str]:
    return list(errors.complaints(known, used, page))


def test_an_error_ends_with_its_id() -> None:
    error = BadConfiguration("No.", id="LN-1002", place=Location("lineal.yaml", 3), remedy="Write yes.")
    assert str(error) == "lineal.yaml:3: No. Write yes. [LN-1002]"
    assert str(LinealError("No.", id="LN-9001")) == "No. [LN-9001]"
    assert MissingContent("sha256:1", "layout:x").id == "LN-4020"


def test_no_error_is_made_without_an_id() -> None:
    make: Any = BuildFailed
    with pytest.raises(TypeError, match="'id'"):
        make("No.")


def test_the_page_is_current_and_every_id_means_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.main([]) == 0, capsys.readouterr().err


def test_ids_in_order_are_right() -> None:
    assert wrong(page="### LN-1001\n\n### LN-1002\n") == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"used": [*USED, Failure("LN-1003", 3, "c.py:3")]}, "c.py:3: LN-1003 has no cause in docs/errors.toml."),
        (
            {"used": [Failure("LN-1001", 5, "c.py:3"), *USED]},
            "c.py:3: LN-1001 ends with another exit code than in a.py:1.",
        ),
        ({"used": USED[:1]}, "docs/errors.toml: nothing raises LN-1002. An id never goes: move it to [retired]."),
        ({"page": "### LN-1003\n"}, "docs/errors.toml: LN-1003 is gone. An id never goes: move it to [retired]."),
        (
            {"known": {**KNOWN, "causes": {"LN-1002": "A typo."}}, "used": USED[1:]},
            "docs/errors.toml: the ids of area 1 are not LN-1001 and so on without a gap.",
        ),
    ],
)
def test_what_is_wrong_with_ids_is_said(changed: dict[str, Any], sentence: str) -> None:
    assert wrong(**changed) == [sentence]


def test_a_retired_id_is_in_its_place() -> None:
    retired = {**KNOWN, "causes": {"LN-1002": "A typo."}, "retired": {"LN-1001": "0.2: JSON is read too."}}
    assert wrong(known=retired, used=USED[1:], page="### LN-1001\n") == []


def test_sentences_are_found_where_they_are_written() -> None:
    """In the call itself, in a variable before it, at the callers of a function, and in another exception."""
    found: dict[str, set[tuple[str, str]]] = {}
    for failure in Reader().failures():
        found.setdefault(failure.id, set()).update(failure.sayings)
    assert ("git is not installed.", "Install git 2.31 or newer.") in found["LN-3003"]
    assert ("`<<` merges mappings only.", "Give it an alias of a mapping.") in found["LN-1001"]
    assert ("The result of `…` is too big.", "Use smaller numbers.") in found["LN-1008"]
