"""What a run asks of a registry, counted before it: requests are what registries limit and links make slow."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy

pytestmark = pytest.mark.registry

STAGES = 20
TEXT = "FROM scratch\n" + "".join(f"COPY file{number} /d{number}/file\n" for number in range(STAGES))
FILES = {f"file{number}": f"content {number}" for number in range(STAGES)}


class Counting(Quirk):
    """Counts the requests by method and kind."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.counted: Counter[str] = Counter()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        with self._guard:
            self.counted[f"{request.method} {request.kind}"] += 1
        return forward(request)

    def take(self) -> Counter[str]:
        with self._guard:
            counted, self.counted = self.counted, Counter()
        return counted


def test_a_stage_costs_nine_requests_and_two_more_where_it_takes_its_time(
    repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path
) -> None:
    lineal.env.update(NOWHERE)
    upstream, _, path = repository.partition("/")
    counting = Counting()
    with proxy(upstream, counting) as counted:
        project = Project(repo, lineal, f"{counted.host}/{path}", tmp_path)
        project.write(TEXT, FILES)
        first = project.build()
        made = counting.take()
        assert first.report["requests"] == made.total()
        # A layer, a config, two manifests and two tags, one look at the others' claims. Two to look before its own
        # claim, unless the list of the stage below is moments old. The last stage and a list before all is built, and
        # two blobs that all records share.
        looked = made["HEAD manifests"]
        assert made.total() == 9 * STAGES + 2 * looked + 6, made
        assert looked <= STAGES
        again = project.build()
        assert (again.made, counting.take().total()) == ([], 2)
        project.repo.write({f"file{STAGES - 3}": "changed"})
        changed = project.build()
        assert len(changed.made) == 3
        few = counting.take()
        # Of those that are there one is asked for and read: its tag and two manifests, and a config.
        assert few.total() == 9 * 3 + 2 * few["HEAD manifests"] + 2 + 4, few
        assert few["HEAD manifests"] <= 3
