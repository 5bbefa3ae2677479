"""Kept caches where something goes wrong or must not happen: killed runs, strangers, slow stores, later versions."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from lineal.caches.snapshot import INDEX, Snapshot, descriptor
from lineal.oci.types import Blob
from lineal.store.record import Part, part
from tests import forks, servers
from tests.differential.buildkit import buildkitd, fast, missing
from tests.e2e.ordinary_user import UID, OrdinaryUser, unable
from tests.e2e.parts import NOWHERE, Directory, Project
from tests.e2e.runners import KEY, PERSIST, TRUST, Runners, caches, folder_of, packs, runner, runners, snapshots
from tests.e2e.test_requests import Counting
from tests.registries.proxy import Answer, Forward, Quirk, Request, proxy
from tests.unit.engine.buildkit.balancer import balancer

__all__ = ["runner", "runners"]
pytestmark = [pytest.mark.engine, pytest.mark.registry]
UNCHANGED = "RUN --mount=type=cache,target=/c cat /c/seen >/seen 2>/dev/null; test -e /c/seen || echo once >/c/seen"


# --- what it costs --------------------------------------------------------------------------------------------------


class Unlooked(Counting):
    """Without the looks at whether a claim's tag is free, each with the anchor beside it: a run that takes its time
    looks once more."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        answer = super().__call__(request, forward)
        if request.method == "HEAD" and re.search(r"/manifests/[0-9a-f]{64}-\d+$", request.path):
            with self._guard:
                self.counted["looks"] -= 2
        return answer


def test_a_cache_in_which_nothing_changed_costs_three_requests(runner: Runners) -> None:
    """To begin with it, beside its packs. None to find that nothing changed, and none where no command runs."""
    upstream, _, path = runner.project.store.partition("/")
    asked: dict[str, list[tuple[int, int, int]]] = {}
    counting = Unlooked()
    with proxy(upstream, counting) as counted:
        for config in (PERSIST, "project: shop\nimages: {app: {}}\n"):
            runner.project.store = f"{counted.host}/{path}/{len(asked)}"
            for number in "122":
                runner.commit(number, UNCHANGED, config)
                counting.take()
                ran = runner.build()
                row = counting.take().total(), ran.report["bytes_read"], ran.report["bytes_sent"]
                asked.setdefault(config, []).append(row)
    kept, without = asked.values()
    requests, read, sent = (one - other for one, other in zip(kept[1], without[1], strict=True))
    assert requests <= 3 + 1, "the one pack"
    assert read + sent <= 200_000
    assert kept[2][0] == without[2][0]


def test_the_oldest_files_leave_where_there_is_no_room(runners: Runners) -> None:
    mount = "RUN --mount=type=cache,target=/c cd /c && "
    config = "project: shop\ncaches: {persist: true, max_size: 20KB}\nimages: {app: {}}\n"
    old = "head -c 6000 /dev/zero >older; cp older old; touch -d 202001010000 older; touch -d 202006010000 old"
    for number, command in (("1", old), ("2", "head -c 9000 /dev/zero >new"), ("3", "ls >/seen")):
        runners.commit(number, mount + command, config)
        ran = runners.build()
        assert ("1 of the oldest files left out" in ran.stderr) == (number == "2")
    assert runners.seen(ran).split() == ["new", "old"]


# --- who may --------------------------------------------------------------------------------------------------------


def test_a_fork_s_run_begins_with_a_cache_and_writes_none(runner: Runners) -> None:
    runner.commit("1")
    runner.build()
    fork = {
        "GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": runner.commit("2"),
        "CI_PROJECT_PATH": "team/shop", "CI_MERGE_REQUEST_PROJECT_PATH": "team/shop", "CI_MERGE_REQUEST_IID": "1",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "somebody/shop",
    }  # fmt: skip
    (told,) = caches(runner.build(env=fork))
    assert (told["outcome"], told["published"], told["kept"]) == ("restored", "", "")
    assert len(snapshots(runner.project)) == 1


def test_a_trusted_snapshot_that_somebody_changed_is_refused(runner: Runners, tmp_path: Path) -> None:
    """Whoever may push puts their own files behind the record of a protected pipeline."""
    runner.project.store = f"layout:{tmp_path / 'store'}"
    runner.commit("1", config=TRUST)
    (trusted,) = caches(runner.build(env=KEY))
    runner.commit("2")
    (own,) = caches(runner.build())
    contents = Directory(folder_of(runner))
    poisoned = contents.image(contents.tags()[own["published"]])
    rewrite(folder_of(runner), trusted["published"], lambda manifest: manifest.update(poisoned))
    runner.commit("3")
    assert runner.seen(runner.build()) == "12", "without `trust:` the newest is taken"
    runner.commit("4", config=TRUST)
    ran = runner.build(env=KEY)
    assert runner.seen(ran) == ""
    (told,) = caches(ran)
    assert (told["outcome"], told["snapshot"]) == ("empty", "")
    assert told["reason"].startswith("hidden: ")


# --- what cannot be used --------------------------------------------------------------------------------------------


def test_a_snapshot_of_a_later_version_is_a_cold_start_and_one_line(runner: Runners, tmp_path: Path) -> None:
    runner.project.store = f"layout:{tmp_path / 'store'}"
    runner.commit("1")
    (first,) = caches(runner.build())

    def later(manifest: dict[str, Any]) -> None:
        manifest["config"]["mediaType"] = "application/vnd.dev.lineal.cache.config.v2+json"

    rewrite(folder_of(runner), first["published"], later)
    runner.commit("2")
    ran = runner.build()
    (told,) = caches(ran)
    assert (told["outcome"], told["kept"]) == ("empty", "published")
    assert lines_with(ran.stderr, "its snapshot cannot be used, another version of Lineal made it") == 1
    runner.commit("3")
    assert runner.seen(runner.build()) == "2"


def test_a_pack_that_is_no_frame_is_a_cold_start_and_one_line(runner: Runners, tmp_path: Path) -> None:
    """Its bytes are those that the index names: the engine finds it out."""
    runner.project.store = f"layout:{tmp_path / 'store'}"
    runner.commit("1")
    (first,) = caches(runner.build())
    no_frame = Blob.of(b"no frame")

    def harmed(manifest: dict[str, Any]) -> None:
        snapshot = Snapshot.decode(Part.of(manifest["layers"][0]).data or b"")
        pack = structs.replace(snapshot.packs[0], digest=no_frame.digest, size=no_frame.size)
        index = Blob.of(structs.replace(snapshot, packs=(pack,)).encode())
        manifest["layers"] = [part(INDEX, index, {}, {}), descriptor(pack).to_json()]

    (folder_of(runner) / "blobs/sha256" / no_frame.digest.removeprefix("sha256:")).write_bytes(b"no frame")
    rewrite(folder_of(runner), first["published"], harmed)
    runner.commit("2")
    ran = runner.build()
    assert runner.seen(ran) == ""
    assert lines_with(ran.stderr, "its snapshot cannot be used, a pack of it cannot be unpacked") == 1
    runner.commit("3")
    assert runner.seen(runner.build()) == "2"


def lines_with(said: str, text: str) -> int:
    return sum(text in line for line in said.splitlines())


def rewrite(folder: Path, tag: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Put another manifest behind a tag of a layout, as whoever may push can."""

    def blob(digest: str) -> Path:
        return folder / "blobs/sha256" / digest.removeprefix("sha256:")

    def put(entry: dict[str, Any], document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        entry |= {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        blob(entry["digest"]).write_bytes(data)

    top = json.loads((folder / "index.json").read_text())
    (entry,) = [one for one in top["manifests"] if tag in (one.get("annotations") or {}).values()]
    index = json.loads(blob(entry["digest"]).read_text())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    change(manifest)
    put(index["manifests"][0], manifest)
    put(entry, index)
    (folder / "index.json").write_text(json.dumps(top))


class Stalled(Quirk):
    """A registry that does not get on with some of what it is asked for, until the test is over."""

    def __init__(self, meant: Callable[[Request], bool]) -> None:
        self._meant = meant
        self.over = threading.Event()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if self._meant(request):
            self.over.wait(120)
        return forward(request)


@contextmanager
def stalled(runner: Runners, meant: Callable[[Request], bool]) -> Iterator[None]:
    upstream, _, path = runner.project.store.partition("/")
    project, quirk = runner.project, Stalled(meant)
    with proxy(upstream, quirk) as slow:
        runner.project = replace(project, store=f"{slow.host}/{path}")
        try:
            yield
        finally:
            quirk.over.set()
    runner.project = project


SHORT = "project: shop\ncaches: {persist: true, max_time: 2s}\nimages: {app: {}}\n"


def test_a_cache_that_takes_too_long_is_a_cold_start_and_one_line(runner: Runners) -> None:
    runner.commit("1")
    (first,) = caches(runner.build())
    digests = packs(runner, first["published"])
    with stalled(runner, lambda request: request.method == "GET" and any(one in request.target for one in digests)):
        # It holds for what is kept as well, which is to get there on a busy machine, too.
        runner.commit("2", config=SHORT.replace("2s", "10s"))
        ran = runner.build()
    assert runner.seen(ran) == ""
    assert lines_with(ran.stderr, "its snapshot cannot be used, it took longer than 10 seconds") == 1
    assert [one["kept"] for one in caches(ran)] == ["published"]


@pytest.mark.parametrize("megabytes", [20, 120], ids=["at the end", "while it is read"])
def test_a_cache_that_cannot_be_kept_in_time_is_one_line(runners: Runners, megabytes: int) -> None:
    mount = "RUN --mount=type=cache,target=/c"
    writes = f"{mount} head -c {megabytes}000000 /dev/urandom >/c/large\n{mount} echo 2 >/c/seen"
    with stalled(runners, lambda request: len(request.body) > 4_000_000):
        runners.commit("1", writes, SHORT)
        ran = runners.build()
    assert lines_with(ran.stderr, "The cache /c is not kept: it took longer than 2 seconds.") == 1
    assert [one["kept"] for one in caches(ran)] == ["given up", "given up"]
    assert snapshots(runners.project) == []


# --- killed runs ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_run_killed_at_any_step_publishes_no_half_snapshot(runner: Runners, tmp_path: Path) -> None:
    """Killed at its first write, at its second, ... until it comes to its end; each time in a store of its own."""
    runner.project.store = f"layout:{tmp_path / 'store'}"
    runner.commit("1")
    runner.build()
    before = snapshots(runner.project)
    runner.commit("2")
    dying = runner.project.clone("dying").repo.path
    runner.commit("3")
    outcomes = []
    for step in itertools.count(1):
        store = shutil.copytree(tmp_path / "store", tmp_path / f"store-{step}")
        runner.project = Project(runner.project.repo, runner.project.lineal, f"layout:{store}", tmp_path / "store")
        env = runner.project.lineal.environment() | next(runner.environments)
        code = forks.run("build", "--repo", runner.project.store, cwd=dying, env=env, die=step).code
        # All that a tag leads to is there and is what its digest says.
        list(runner.project.contents.everything())
        after = snapshots(runner.project)
        assert set(before) <= set(after)
        later = runner.build()
        assert runner.seen(later) == ("1" if after == before else "12")
        assert "begins empty" not in later.stderr
        outcomes.append((code, len(after)))
        if code == 0:
            break
    assert outcomes[-1] == (0, 2)
    assert {code for code, _ in outcomes[:-1]} == {-signal.SIGKILL}
    # A stage has six parts, a snapshot some more; each is a step before it and one behind it.
    assert sum(count == 1 for _, count in outcomes) > 20
    shutil.rmtree(tmp_path, ignore_errors=True)


# --- where the engine is --------------------------------------------------------------------------------------------


def test_a_docker_engine_at_the_end_of_a_line_keeps_caches(project: Project, base_image: str) -> None:
    place = project.lineal.env.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    with balancer([place], 300) as line:
        remote = [{"DOCKER_HOST": f"tcp://{line.address}"}] * 3
        keeps_caches(Runners(project, iter(remote), base=base_image))
        assert line.taken[place] >= len(remote)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_buildkit_at_the_end_of_a_line_keeps_caches(project: Project, base_image: str, registry: str) -> None:
    with ExitStack() as running:
        remote = []
        for _ in "12":
            short = running.enter_context(
                tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True)
            )
            daemon = running.enter_context(buildkitd(Path(short), registry))
            line = running.enter_context(balancer([daemon.address.removeprefix("unix://")], 300))
            remote.append({"LINEAL_ENGINE": f"buildkit:tcp://{line.address}", **NOWHERE})
        keeps_caches(Runners(project, iter(remote), base=base_image))


def keeps_caches(runners: Runners) -> None:
    for number, seen in (("1", ""), ("2", "1")):
        runners.commit(number)
        assert runners.seen(runners.build()) == seen


@pytest.mark.long
@pytest.mark.skipif(bool(unable()), reason=unable())
def test_an_ordinary_user_s_runc_keeps_caches(tmp_path: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="ada-"))
    try:
        if os.geteuid() == 0:
            os.chown(home, UID, UID)
        repo, user = servers.Repository.create(home / "repo"), OrdinaryUser(home)
        script = "/busybox cat /c/seen >/seen 2>/dev/null; /busybox cat /number >>/c/seen; /busybox chown 5:6 /c/seen"
        for number, seen in (("1", b""), ("2", b"1"), ("3", b"12")):
            repo.write(
                {
                    "lineal.yaml": PERSIST,
                    "number": number,
                    "busybox": Path(servers.program("busybox")).read_bytes(),
                    "Dockerfile": "FROM scratch\nCOPY --chmod=755 busybox /\nCOPY number /\n"
                    f'RUN --mount=type=cache,target=/c ["/busybox", "sh", "-c", "{script}"]\n',
                }
            )
            give(repo.path, UID)
            command = user.command(
                sys.executable, "-m", "lineal", "build", "--engine", "runc", "--repo", "layout:../store"
            )
            done = subprocess.run(command, cwd=repo.path, env=user.environment(), capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            give(repo.path, os.geteuid())
            contents = Directory(home / "store")
            stages = {digest for tag, digest in contents.tags().items() if not tag.startswith("cache-")}
            assert seen in {contents.files(digest).get("seen") for digest in stages}
    finally:
        shutil.rmtree(home)


def give(place: Path, owner: int) -> None:
    if os.geteuid() == 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)
