"""`lineal build` on every kind of registry: the same story with the same end everywhere."""

from __future__ import annotations

import pytest

from tests.e2e.parts import Project, Ran
from tests.registries.conftest import OTHERS, QUIRKS
from tests.registries.proxy import Proxy

DOCKERFILE = "FROM scratch\nCOPY src /src\n"
CACHED = 4
"""Requests that a run may need to find everything published, besides those that a registry makes it repeat."""
# Other words for the same refusal, other sizes of pages make no other story; test_stores.py has them all. And these
# three are a part of "several at once".
ALIKE = {
    "Link with a host",
    "no digest header",
    "relative Location",
    "404 for an absent last",
    "numbers",
    "sorted pages",
    "immutable, 400 TAG_INVALID",
    "503",
    "520",
    "a secondary limit",
    "uploads end with 200",
    "sorted pages of 2",
    "n above 1000 is refused",
    "last is ignored",
    "immutable, 400 already exists",
    "immutable, 403 DENIED",
    "immutable, 405",
    "immutable, 412",
}


@pytest.mark.parametrize("quirk", [name for name in [*QUIRKS, *OTHERS] if name not in ALIKE], indirect=True)
def test_build_again_branch_and_merge(project: Project, server: Proxy) -> None:
    repo = project.repo
    project.write(DOCKERFILE, {"src/a": "one"})
    repo.branch("one")
    repo.write({"src/a": "two"})
    one = project.build()
    assert one.made == ["COPY"]

    requests, faults = len(server.seen), server.faults
    assert outcome(project.build()) == (one.digests, [])
    assert len(server.seen) - requests <= CACHED + server.faults - faults

    # The same content on a branch that knows nothing of the first: the anchor is hidden from it, and it finds its
    # own publication by a list of tags.
    repo.switch("main")
    repo.branch("two")
    repo.write({"src/a": "two", "README": "of branch two"})
    two = project.build()
    assert two.made == ["COPY"]
    assert two.checksums == one.checksums
    assert two.digests != one.digests
    assert outcome(project.build()) == (two.digests, [])

    # With both histories, the anchor counts, and nothing is built.
    repo.merge("one")
    assert outcome(project.build()) == (one.digests, [])
    assert server.moved == []


def outcome(ran: Ran) -> tuple[dict[str, str | None], list[str]]:
    """Digests of the images, and the stages that it made itself."""
    return ran.digests, ran.made
