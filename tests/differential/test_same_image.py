"""Every case of cases/ gives the same image with BuildKit and with Lineal, or the refusal that it names."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential import buildkit, compare
from tests.differential.cases import Case, all_cases
from tests.differential.image import Image
from tests.differential.workshop import Workshop, refused_by_the_engine, workshop
from tests.forks import Result
from tests.scheduling import cases

pytestmark = [pytest.mark.engine, pytest.mark.registry]

MISSING = buildkit.missing()
_LONG = "known-projects"
"""A group with a hundred RUNs, whose kinds other groups have one by one."""


def param(case: Case) -> Any:
    return pytest.param(case, id=case.id, marks=[pytest.mark.long] if case.group.name == _LONG else [])


CASES = [] if MISSING else all_cases()


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    wanted = cases(request, test_the_same_image)
    with workshop(registry, tmp_path_factory.mktemp("differential"), wanted) as made:
        yield made
        if made.built:
            assert refused_by_the_engine(made.built) == {}, "the Docker Engine does not load these images"


def test_buildkit_is_there() -> None:
    if MISSING:
        warnings.warn(f"SKIPPED: all comparisons with BuildKit. {MISSING}", stacklevel=1)
        pytest.skip(MISSING)


@pytest.mark.parametrize("case", [param(case) for case in CASES])
def test_the_same_image(shared: Workshop, case: Case) -> None:
    result, ours, theirs = shared.build(case)
    check_outcome(case, result, theirs)
    if ours is None or isinstance(theirs, str):
        return
    check_differences(case, ours, theirs)
    assert compare.faults(ours) == []


def check_outcome(case: Case, result: Result, theirs: Image | str) -> None:
    """Both build it, or who refuses is in group.yaml."""
    wanted = case.expected
    assert "Traceback" not in result.stderr, result.stderr
    sentence = wanted.refused or wanted.unsupported
    if sentence:
        assert result.code, f"Lineal builds it: take `refused`/`unsupported` away.\n{result.stderr}"
        said = re.sub(r" \[LN-\d{4}\]$", "", result.stderr.splitlines()[-1].removeprefix("Error: "))
        assert re.fullmatch(".*".join(map(re.escape, sentence.split("…"))), said), said
    else:
        assert result.code == 0, f"Lineal: {result.stderr}\nBuildKit: {_end(theirs)}"
    if wanted.refused or wanted.lenient:
        assert isinstance(theirs, str), "BuildKit builds it: `refused` and `lenient` are for what it refuses."
    else:
        assert not isinstance(theirs, str), f"BuildKit refuses it: {_end(theirs)}"


def _end(theirs: Image | str) -> str:
    """BuildKit's last word."""
    return theirs.strip().splitlines()[-1] if isinstance(theirs, str) else "builds it"


def check_differences(case: Case, ours: Image, theirs: Image) -> None:
    found = compare.differences(ours, theirs)
    known = case.expected.differs
    new = [f"{where}: {what}" for where, what in found if not any(fnmatch.fnmatchcase(where, k) for k in known)]
    assert not new, "\n".join([f"{case.id} differs from BuildKit's image:", *new])
    gone = [k for k in known if not any(fnmatch.fnmatchcase(where, k) for where, _ in found)]
    assert not gone, f"these differences are gone, take them out of group.yaml: {gone}"
