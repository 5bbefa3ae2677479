"""Random Dockerfiles give the same image with BuildKit and with Lineal, or both refuse them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.differential import buildkit
from tests.differential.generated import Example, examples
from tests.differential.pair import Pair, pair

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.skipif(bool(buildkit.missing()), reason=buildkit.missing())]

MANY = int(os.environ.get("LINEAL_GENERATED", "10"))
_slowly = settings(
    max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck), database=None, print_blob=False
)


@pytest.fixture(scope="module")
def both(registry: str) -> Iterator[Pair]:
    with pair(registry) as made:
        yield made
        print(made.outcomes)


@_slowly
@given(examples(6))
def test_the_same_files(both: Pair, example: Example) -> None:
    both.check(example)
