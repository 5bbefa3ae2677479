"""A few of the cases with another engine of Lineal's: BuildKit in both ways of a layer, and runc.
`LINEAL_TEST_ENGINE=buildkit` (or `buildkit-layout`, `runc`) runs all of them so, as `make test-long` does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential import buildkit, compare, engines
from tests.differential.cases import Case, all_cases
from tests.differential.test_same_image import check_differences, check_outcome
from tests.differential.workshop import Workshop, workshop

WANTED = (
    "run/as-a-user-in-a-working-directory", "run/bind-mount-over-the-working-directory", "run/relative-mount-target",
    "run/secret-with-a-relative-target", "run/in-a-directory-that-is-a-file", "run/writes-etc-hostname",
    "run/cache-mount-from-a-target", "run/bind-mount-with-links-that-lead-out-of-it",
)  # fmt: skip
MISSING = buildkit.missing()
CASES = [] if MISSING or engines.CHOSEN != "docker" else [case for case in all_cases() if case.id in WANTED]
pytestmark = [pytest.mark.registry, pytest.mark.server]


@pytest.fixture(scope="module", params=["buildkit", "buildkit-layout", "runc"])
def shared(
    request: pytest.FixtureRequest, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    with workshop(registry, tmp_path_factory.mktemp("engines"), CASES, request.param) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_same_image(shared: Workshop, case: Case) -> None:
    result, ours, theirs = shared.build(case)
    check_outcome(case, result, theirs)
    if ours is not None and not isinstance(theirs, str):
        check_differences(case, ours, theirs)
        assert compare.faults(ours) == []


def test_every_one_of_them_is_there() -> None:
    assert MISSING or engines.CHOSEN != "docker" or {case.id for case in CASES} == set(WANTED)
