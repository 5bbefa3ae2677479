"""Runs that die, stores that lose things: what comes after finishes the work and loses nothing (DESIGN G1, G5)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from filelock import FileLock

from tests import forks, servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, ONCE, Project, Published, Ran, containers_of, read_until, wait_until
from tests.forks import Result
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy

FILES = {"one": "1", "two": "2", "three": "3"}
# A directory of each stage's own: no two filesystem indexes are the same.
DOCKERFILE = "FROM scratch\nCOPY one /a/one\nCOPY two /b/two\nCOPY three /c/three\n"
_AT_ONCE = 4
CONTENT = {"a/one": b"1", "b/two": b"2", "c/three": b"3"}


@pytest.fixture(params=["layout", "registry"])
def stored(request: pytest.FixtureRequest, repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Project:
    """A project of three stages without any RUN, on a machine without an engine."""
    lineal.env.update(NOWHERE)
    store = f"layout:{tmp_path / 'store'}" if request.param == "layout" else request.getfixturevalue("repository")
    project = Project(repo, lineal, store, tmp_path)
    project.write(DOCKERFILE, FILES)
    return project


def anchors(tags: dict[str, str]) -> dict[str, str]:
    return {tag: digest for tag, digest in tags.items() if "-" not in tag}


def checksums(tags: dict[str, str]) -> set[str]:
    """What has a stage tag."""
    return {tag.partition("-")[0] for tag in tags if "-" in tag}


def tags_of(project: Project) -> dict[str, str]:
    """The tags with their digests; all that they lead to is there and is what its digest says."""
    if project.store.startswith("layout:") and not Path(project.store[7:], "index.json").exists():
        return {}
    list(project.contents.everything())
    return project.contents.tags()


# --- SIGKILL at every step ------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("where", ["a new line", "beside a hidden publication"])
def test_a_run_killed_at_any_step_loses_at_most_one_stage(stored: Project, where: str, tmp_path: Path) -> None:
    """Killed at its first step, at its second, ... until it gets to its end; each time in a store of its own."""
    beside = where != "a new line"
    if beside:
        # Its publication waits for others that it cannot know of: one stage tells as much as three.
        stored.write("FROM scratch\nCOPY one two three /abc/\n", {"NEWS": "main"})
        stored.repo.branch("other")
        stored.repo.write({"NEWS": "other"})
        stored.repo.switch("main")
        stored.repo.write({"NEWS": "main goes on"})
    other = stored.clone("other-clone", "--branch", "other").repo.path if beside else None
    steps = itertools.count(1)
    ended = threading.Event()

    def die_at_many_steps() -> int:
        died = 0
        while not ended.is_set():
            step = next(steps)
            if Killed(stored, step, tmp_path / str(step), other).die():
                died += 1
            else:
                ended.set()
        return died

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        died = sum(future.result() for future in [pool.submit(die_at_many_steps) for _ in range(_AT_ONCE)])
    # A stage has a layer, a config, two manifests and two tags.
    assert died >= (6 if beside else 3 * 6)


@dataclass
class Killed:
    """A run that dies at one step, and those that come after it."""

    project: Project
    step: int
    scratch: Path
    other: Path | None
    """A clone at a commit that cannot be seen from here, and has the same stages."""
    _last: Result = field(init=False)

    def die(self) -> bool:
        """False when the run came to its end before that step."""
        self.scratch.mkdir()
        layout = self.project.store.startswith("layout:")
        store = f"layout:{self.scratch / 'store'}" if layout else f"{self.project.store}-{self.step}"
        self.project = Project(self.project.repo, self.project.lineal, store, self.scratch)
        if self.other is not None:
            assert self._run(cwd=self.other) == 0, self._said()
        others = tags_of(self.project)
        code = self._run(die=self.step)
        if code == 0:
            return False
        assert code == -signal.SIGKILL, self._said()
        self._recover(others)
        return True

    def _recover(self, others: dict[str, str]) -> None:
        before = tags_of(self.project)
        published = checksums({tag: digest for tag, digest in before.items() if tag not in others})
        assert self._run("--report", str(self.scratch / "first.json")) == 0, self._said()
        first = self._report("first.json")
        made = {stage["checksum"] for stage in first.stages if stage["outcome"] != "cached"}
        assert len(made & published) <= 1, f"step {self.step}: built again: {made & published}"
        after = tags_of(self.project)
        assert {tag: after.get(tag) for tag in before} == before, f"step {self.step}: a tag moved or is gone"
        assert set(first.digests.values()) <= set(after.values())
        assert checksums(after) == set(first.checksums)
        assert set(anchors(after)) == checksums(after), f"step {self.step}: a stage has no anchor"
        assert self._run("--report", str(self.scratch / "second.json")) == 0, self._said()
        second = self._report("second.json")
        assert (second.made, second.digests) == ([], first.digests), f"step {self.step}"
        assert tags_of(self.project) == after
        found = self.project.contents.files(str(second.digests["app"]))
        assert sorted(found.values()) == [b"1", b"2", b"3"]

    def _run(self, *args: str, cwd: Path | None = None, die: int = 0) -> int:
        command = ("build", "--repo", self.project.store, *args)
        environment = self.project.lineal.environment()
        self._last = forks.run(*command, cwd=cwd or self.project.repo.path, env=environment, die=die)
        return self._last.code

    def _report(self, name: str) -> Ran:
        return Ran(0, "", self._said(), json.loads((self.scratch / name).read_text()))

    def _said(self) -> str:
        return f"step {self.step}:\n{self._last.stdout}{self._last.stderr}"


# --- things that get lost -------------------------------------------------------------------------------------------


def lose(project: Project, digest: str) -> None:
    """Remove a manifest or a blob behind Lineal's back."""
    if project.store.startswith("layout:"):
        Path(project.store[7:], "blobs", digest.replace(":", "/")).unlink()
        return
    host, _, path = project.store.partition("/")
    for kind in ("manifests", "blobs"):
        answer = requests.delete(f"http://{host}/v2/{path}/{kind}/{digest}", timeout=300)
        if answer.status_code == 202:
            return
    raise AssertionError(f"{digest} was not deleted: {answer.status_code}")


def made(ran: Ran) -> list[bool]:
    """Which stages a run built. What it built again bit for bit makes a publication whole: it is then adopted."""
    return [stage["outcome"] in ("assembled", "adopted") for stage in ran.stages]


@pytest.mark.parametrize("what", ["index", "manifest"])
def test_a_last_stage_whose_manifest_is_gone_is_built_again_once(stored: Project, what: str) -> None:
    first = stored.build()
    last = str(first.digests["app"])
    lose(stored, last if what == "index" else stored.contents.image_digest(last))
    plan = stored.plan("--format", "json")
    assert [stage["outcome"] for stage in plan.stages] == ["cached", "cached", "missing"]
    if what == "manifest":
        assert plan.stages[2]["reason"] == "its image is gone from the store"
    again = stored.build()
    assert made(again) == [False, False, True]
    assert stored.build().made == [], "once"
    assert stored.contents.files(str(again.digests["app"])) == CONTENT


@pytest.mark.parametrize("what", ["layer", "config", "manifest", "record"])
def test_an_earlier_stage_that_lost_something_is_built_again_once_and_this_is_said(
    stored: Project, what: str
) -> None:
    first = stored.build()
    second = first.stages[1]["digest"]
    stored.repo.write({"three": "another"})
    image = stored.contents.image(second)
    lost = {
        "layer": image["layers"][1]["digest"],
        "config": image["config"]["digest"],
        "manifest": stored.contents.image_digest(second),
        "record": stored.contents.json(second)["manifests"][1]["digest"],
    }
    lose(stored, lost[what])
    again = stored.build()
    assert made(again) == [False, True, True], "the lost one and the changed one"
    assert "is gone" in again.stderr or "is missing in the store; it is built again." in again.stderr
    later = stored.build()
    assert (later.made, later.digests) == ([], again.digests), "once"
    found = stored.contents.files(str(again.digests["app"]))
    assert found == CONTENT | {"c/three": b"another"}


# --- a registry that goes away --------------------------------------------------------------------------------------


@dataclass
class Restartable:
    """A docker-registry on one port that can be ended and started again."""

    directory: Path
    address: str
    server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}},
            "http": {"addr": self.address},
        }
        (self.directory / "config.yml").write_text(json.dumps(config))
        with (self.directory / "log").open("ab") as log:
            command = [servers.program("docker-registry"), "serve", str(self.directory / "config.yml")]
            self.server = subprocess.Popen(command, stdout=log, stderr=log)
        servers.wait_for_port(self.address, self.server, self.directory / "log")

    def kill(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def manifests(self) -> int:
        try:
            tags = "data/docker/registry/v2/repositories/**/_manifests/tags/*/current/link"
            return len(list(self.directory.glob(tags)))
        except FileNotFoundError:  # an upload has ended meanwhile
            return 0


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[Restartable]:
    directory = tmp_path / "registry"
    directory.mkdir()
    registry = Restartable(directory, f"127.0.0.1:{servers.free_port()}")
    registry.start()
    yield registry
    registry.kill()


def test_a_registry_that_restarts_in_the_middle_costs_nothing(
    restartable: Restartable, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    names = [f"file{number}" for number in range(12)]
    project = Project(repo, lineal, f"{restartable.address}/app", tmp_path)
    lines = "".join(f"COPY {name} /{name}\n" for name in names)
    project.write(f"FROM scratch\n{lines}", {name: os.urandom(100_000) for name in names})
    run = project.start("build", env=NOWHERE)
    for least in (4, 12):
        wait_until(lambda least=least: restartable.manifests() >= least or run.poll() is not None)
        restartable.kill()
        restartable.start()
    out, said = run.communicate(timeout=300)
    assert run.returncode == 0, said
    tags = tags_of(project)
    assert len(checksums(tags)) == len(names)
    again = project.build(env=NOWHERE)
    assert again.made == []
    assert again.report["images"][0]["ref"] in out


def test_a_registry_that_stays_away_is_told_and_the_next_run_goes_on(
    restartable: Restartable, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    project = Project(repo, lineal, f"{restartable.address}/app", tmp_path)
    project.write(DOCKERFILE, {**FILES, "three": os.urandom(100)})
    run = project.start("build", env=NOWHERE)
    wait_until(lambda: restartable.manifests() >= 2 or run.poll() is not None)
    restartable.kill()
    _, said = run.communicate(timeout=300)
    restartable.start()
    assert isinstance(project.contents, Published)
    project.contents.torn = True
    assert run.returncode in (0, 5), said
    if run.returncode == 5:
        assert restartable.address in said.splitlines()[-1]
    assert "Traceback" not in said
    before = tags_of(project)
    rest = project.build(env=NOWHERE)
    assert not {stage["checksum"] for stage in rest.stages if stage["outcome"] != "cached"} & set(anchors(before))


# --- a disk that is full --------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 192 kB."""
    if os.geteuid() != 0:
        pytest.skip("Only root can mount a small file system.")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "lineal", str(folder)]).returncode != 0:
        pytest.skip("No permission to mount a small file system.")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_at_any_moment_leaves_a_valid_store(
    small_disk: Path, repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    """Filled so far that the run fails at another place each time; once there is room, the next run goes on."""
    project = Project(repo, lineal, f"layout:{small_disk / 'store'}", tmp_path)
    project.write(DOCKERFILE, FILES)
    ballast = small_disk / "ballast"
    failures = 0
    for free in range(0, 160, 12):
        subprocess.run(["rm", "-rf", str(small_disk / "store")], check=True)
        ballast.write_bytes(bytes(max(0, (188 - free) * 1024)))
        run = lineal("build", "--repo", project.store, env=NOWHERE)
        assert run.code in (0, 5) and "Traceback" not in run.stderr, run.stderr
        failures += run.code == 5
        if run.code == 5:
            assert run.stderr.splitlines()[-1] == (
                f"Error: The layout store {small_disk / 'store'} cannot be written: no space left on device. "
                "Free some space, or choose another store. [LN-4026]"
            )
        before = tags_of(project)
        ballast.unlink()
        run = lineal("build", "--repo", project.store, env=NOWHERE)
        assert run.code == 0, run.stderr
        after = tags_of(project)
        assert {tag: after.get(tag) for tag in before} == before
        assert len(anchors(after)) == 3
    assert failures >= 3


# --- SIGTERM --------------------------------------------------------------------------------------------------------


def interrupted(run: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    run.send_signal(number)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert said.splitlines()[-1] == "Error: Interrupted; what was published before stays. [LN-9002]"
    assert "Traceback" not in said
    return said


@pytest.mark.engine
def test_sigterm_in_a_run_leaves_no_container_and_no_lock(
    layout: Project, base_image: str, mark: str, machine: dict[str, str]
) -> None:
    slow = f"RUN --mount=type=secret,id=slow if grep -q yes /run/secrets/slow; then echo {mark}; sleep 300; fi"
    layout.write(f"FROM {base_image}\nCOPY mark /mark\n{ONCE}\n{slow}\n", {"mark": mark})
    run = layout.start("build", "--secret", "id=slow,env=SLOW", env={"SLOW": "yes yes"})
    read_until(run, f"| {mark}")
    interrupted(run)
    assert containers_of(mark, machine) == []
    before = tags_of(layout)
    assert len(anchors(before)) == 3
    rest = layout.build("--secret", "id=slow,env=SLOW", env={"SLOW": "no no"})
    assert rest.made == ["RUN"]
    assert before.items() <= tags_of(layout).items()


class Holding(Quirk):
    """Requests of one method and kind wait until the test lets them go on."""

    def __init__(self, method: str, kind: str) -> None:
        self.what = (method, kind)
        self.arrived = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if (request.method, request.kind) == self.what:
            self.arrived.set()
            self.go_on.wait(300)
        return forward(request)


@pytest.mark.registry
@pytest.mark.parametrize(("method", "kind"), [("PUT", "uploads"), ("PUT", "manifests"), ("GET", "tags")])
def test_sigterm_while_the_registry_is_slow(
    repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path, method: str, kind: str
) -> None:
    """In an upload, while manifests are written, and (if it gets there) while others are looked for."""
    lineal.env.update(NOWHERE)
    project = Project(repo, lineal, repository, tmp_path)
    project.write(DOCKERFILE, FILES)
    upstream, _, path = repository.partition("/")
    holding = Holding(method, kind)
    with proxy(upstream, holding) as slow:
        try:
            run = Project(repo, lineal, f"{slow.host}/{path}", tmp_path).start("build")
            wait_until(lambda: holding.arrived.is_set() or run.poll() is not None)
            assert holding.arrived.is_set(), f"no {method} of {kind} at all"
            interrupted(run)
            before = tags_of(project)
        finally:
            holding.go_on.set()
    # What was on its way may still arrive: it is not in the way of the next run.
    rest = project.build()
    after = tags_of(project)
    assert before.items() <= after.items()
    assert set(anchors(after)) == checksums(after) == set(rest.checksums)
    assert project.build().made == []


@pytest.mark.parametrize("which", ["the store's", "the checksum's"])
def test_sigterm_under_and_before_a_lock_leaves_none(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path, which: str
) -> None:
    """Somebody else holds the lock of the store's index (ours of the checksum is held), or that of the checksum."""
    lineal.env.update(NOWHERE)
    store = tmp_path / "store"
    project = Project(repo, lineal, f"layout:{store}", tmp_path)
    project.write("FROM scratch\nCOPY one /one\n", FILES)
    (checksum,) = project.build(store=f"layout:{tmp_path / 'other'}").checksums
    own = store / "locks" / f"{checksum}.lock"
    theirs = store / ".lineal.lock" if which == "the store's" else own
    theirs.parent.mkdir(parents=True)
    (store / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (store / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    with FileLock(theirs):
        run = project.start("build")
        # By then its image is uploaded, and the lock is what comes next.
        wait_until(lambda: run.poll() is not None or (own.exists() and len(uploads(store)) >= 6))
        assert run.poll() is None
        interrupted(run)
    for lock in (own, theirs):
        with FileLock(lock, timeout=0):
            pass
    assert tags_of(project) == {}
    built = project.build()
    assert built.made == ["COPY"]
    assert set(anchors(tags_of(project))) == {checksum}


def uploads(store: Path) -> list[Path]:
    return [file for file in (store / "blobs").glob("sha256/*") if not file.name.startswith(".")]


def test_a_run_that_was_killed_under_the_lock_is_not_waited_for(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    lineal.env.update(NOWHERE)
    store = tmp_path / "store"
    project = Project(repo, lineal, f"layout:{store}", tmp_path)
    project.write("FROM scratch\nCOPY one /one\n", FILES)
    (store / "locks").mkdir(parents=True)
    (store / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (store / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    with FileLock(store / ".lineal.lock"):
        run = project.start("build")
        wait_until(lambda: run.poll() is not None or (list(store.glob("locks/*")) and len(uploads(store)) >= 6))
        run.kill()
        run.communicate()
    built = project.build()
    assert built.made == ["COPY"]
    assert "going on without it" not in built.stderr and "another run" not in built.stderr
