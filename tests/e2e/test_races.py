"""Forty runs publish the same stages, ten at a time, unlocked, over a network that fails (DESIGN G1, G4, G9)."""

from __future__ import annotations

import base64
import json
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import forks, servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Published, Ran, check
from tests.registries.faults import without_authorization
from tests.registries.proxy import Answer, Dropped, Forward, Proxy, Quirk, Request, proxy, refusal

pytestmark = [pytest.mark.registry, pytest.mark.long]

RUNS = 40
WRONG = 0.3
"""The share of the requests that something happens to."""
MOST, CLEAN = 4, 20
"""A run gives up after five tries. So no more than four requests of a run for one thing go wrong, until so many of
them went well. (Several threads of a run may ask for the same thing.)"""
CROWD, HELD = 4, 0.8
"""So many who write tags of one checksum wait for each other, at most so many seconds: what they saw before may be
wrong by then. (The protocol promises nothing beyond two seconds.)"""
AT_ONCE = 10
"""So many begin to publish in the same moment, then the next ones: forty would be more than two cores can do in time
(what the protocol promises rests on requests that are carried out within seconds)."""


class Names(Quirk):
    """Runs have to say who they are; the registry behind needs not know."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if "authorization" not in request.headers:
            return refusal(401, "UNAUTHORIZED", "who?", **{"WWW-Authenticate": 'Basic realm="races"'})
        return forward(request)


def who(request: Request) -> str:
    return base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")[0]


class Together(Quirk):
    """Nobody's first upload goes on before all runs have come to theirs: each has found nothing. Then so many at once
    go on, the next one when one has come to its end."""

    def __init__(self, runs: int, at_once: int) -> None:
        self.runs = runs
        self.arrived: set[str] = set()
        self.guard = threading.Lock()
        self.all_here = threading.Event()
        self.places = threading.Semaphore(at_once)

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.kind == "uploads" and request.method == "POST":
            with self.guard:
                first = who(request) not in self.arrived
                self.arrived.add(who(request))
                if len(self.arrived) == self.runs:
                    self.all_here.set()
            if first:
                assert self.all_here.wait(900), f"only {len(self.arrived)} runs came to publish"
                self.places.acquire(timeout=900)
        return forward(request)


class Crowd(Quirk):
    """Stage tags, or anchors, of one checksum are written by several at once where that can be."""

    def __init__(self) -> None:
        self.waiting: Counter[tuple[str, bool]] = Counter()
        self.changed = threading.Condition()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.tag:
            what = (request.tag.partition("-")[0], "-" in request.tag)
            with self.changed:
                self.waiting[what] += 1
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.waiting[what] >= CROWD, HELD)
        try:
            return forward(request)
        finally:
            if request.tag:
                with self.changed:
                    self.waiting[what] -= 1


class Failing(Quirk):
    """A network and a server that fail in every way that a client may try again after."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.guard = threading.Lock()
        self.wrong: Counter[tuple[str, ...]] = Counter()
        self.well: Counter[tuple[str, ...]] = Counter()
        self.kinds: Counter[str] = Counter()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        what = request.query.get("digest") or request.path.rpartition("/")[2]
        key = (who(request), request.method, request.kind, what)
        with self.guard:
            wrong = self.random.random() < WRONG and self.wrong[key] < MOST
            self.wrong[key] += wrong
            self.well[key] += not wrong
            if self.well[key] >= CLEAN:
                self.wrong[key] = self.well[key] = 0
            kind = self.random.choice(["refused", "busy", "reset", "lost", "late error"]) if wrong else ""
            self.kinds[kind] += 1
            self.faults += wrong
        if kind == "refused":
            return refusal(self.random.choice([500, 502, 503]), "UNAVAILABLE", "not now")
        if kind == "busy":
            return refusal(429, "TOOMANYREQUESTS", "too many", **{"Retry-After": "0"})
        if kind == "reset":
            raise Dropped
        answer = forward(without_authorization(request))
        if kind == "lost":
            raise Dropped
        return (
            refusal(504, "TIMEOUT", "it took too long, and was done all the same") if kind == "late error" else answer
        )


@pytest.fixture
def in_memory() -> Iterator[str]:
    """A docker-registry that waits for no disk. On a busy one it shows a blob's link empty for a moment whenever
    somebody uploads the same blob again, and refuses manifests that name it: here that moment is short."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder, servers.docker_registry(Path(folder)) as address:
        yield address


@dataclass
class Race:
    server: Proxy
    together: Together
    failing: Failing

    def run(self, clone: Project, number: int, report: Path) -> Ran:
        """One run to its end. It yields to the registry and the proxy, which have to keep up with all."""
        name = {"LINEAL_REGISTRY_USERNAME": f"run-{number}", "LINEAL_REGISTRY_PASSWORD": "any"}
        options = ["--repo", clone.store, "--report", str(report)]
        try:
            env = clone.lineal.environment() | NOWHERE | name
            done = forks.run("build", *options, cwd=clone.repo.path, env=env, timeout=900, nice=10)
        finally:
            self.together.places.release()
        ran = Ran(done.code, done.stdout, done.stderr, json.loads(report.read_text()) if report.exists() else {})
        check(ran, 0)
        return ran


@pytest.fixture
def race(in_memory: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Race]:
    monkeypatch.setattr(ThreadingHTTPServer, "request_queue_size", 4 * RUNS)
    together, failing = Together(RUNS, AT_ONCE), Failing(seed=1)
    with proxy(in_memory, Names(), together, failing, Crowd()) as server:
        yield Race(server, together, failing)


@pytest.mark.parametrize("lines", [1, 4], ids=["one-commit", "four-lines-of-history"])
def test_runs_that_publish_at_once_agree_on_one_winner_for_each_line_of_history(
    repo: servers.Repository, lineal: Lineal, race: Race, tmp_path: Path, lines: int
) -> None:
    project = Project(repo, lineal, f"{race.server.host}/race/app", tmp_path)
    project.write("FROM scratch\nCOPY one /a/one\nCOPY two /b/two\n", {"one": "1", "two": "2"})
    clones = []
    for line in range(lines):
        # Another tree each, and the same stages.
        repo.branch(f"line-{line}", "main")
        repo.write({"NEWS": str(line)})
        clones.append(project.clone(f"clone-{line}", "--branch", f"line-{line}"))
    with ThreadPoolExecutor(RUNS) as pool:
        runs = [
            pool.submit(race.run, clones[number % lines], number, tmp_path / f"race-{number}.json")
            for number in range(RUNS)
        ]
        rans = [run.result() for run in runs]
    assert race.failing.faults > RUNS and len(race.failing.kinds) == 6, race.failing.kinds

    assert race.server.moved == [], "a tag was pointed at two digests"
    contents = Published(f"{race.server.upstream}/race/app")
    list(contents.everything())
    tags = contents.tags()
    written = {path.rpartition("/")[2]: digests for path, digests in race.server.written.items()}
    assert {tag: {digest} for tag, digest in tags.items()} == written, "what was written is there"

    winners = [winner_of(rans[line::lines], contents) for line in range(lines)]
    assert len(set(winners)) == lines, "no line uses what another one published"
    assert tags[rans[0].checksums[-1]] in winners, "the anchor is one of them"
    for clone, winner in zip(clones, winners, strict=True):
        later = clone.build(env=NOWHERE, store=contents.address)
        assert (later.made, later.digests) == ([], {"app": winner}), "a later run finds the same"
    assert contents.tags() == tags


def winner_of(rans: list[Ran], contents: Published) -> str:
    """The image's digest that all runs of one commit report."""
    reported = {json.dumps([(stage["tag"], stage["digest"]) for stage in ran.stages]) for ran in rans}
    assert len(reported) == 1, f"{len(reported)} winners in one line of history"
    (winner,) = {str(ran.digests["app"]) for ran in rans}
    assert contents.files(winner) == {"a/one": b"1", "b/two": b"2"}
    return winner
