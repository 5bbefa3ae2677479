"""What holds for every lock that a service keeps, tried on each of the real services."""

from __future__ import annotations

import secrets
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest

from lineal.errors import Interrupted
from lineal.lock import Lock, LockTimeouts
from lineal.lock.leased import LeasedLock, LockFailed
from tests.unit.lock import parts, worker
from tests.unit.lock.worker import CHECKSUM, Told

pytestmark = pytest.mark.server

OTHER = "6" * 64
# A lease that ends while a test waits, and looks often enough for that.
SHORT = {"lease": 3.0, "poll": 0.2, "notice": 0.3, "wait": 30.0}
LONGER = 8.0
"""Seconds of a lease that its holder renews in time on a busy machine, too."""

Given = dict[str, Any]


@pytest.fixture(params=["git", "git-http", "etcd", "kubernetes"])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Given:
    """A service that nobody has used yet, as `worker.service` takes it."""
    if request.param.startswith("git"):
        made: Given = request.getfixturevalue("git_given" if request.param == "git" else "http_given")
        return made
    if request.param == "etcd":
        endpoint = request.getfixturevalue("etcd")
        return {"kind": "etcd", "endpoint": endpoint, "folder": f"test/{secrets.token_hex(8)}"}
    cluster = request.getfixturevalue("cluster")
    return {"kind": "kubernetes", "namespace": "default", "store": secrets.token_hex(8),
            "environ": {"KUBECONFIG": str(cluster)}}  # fmt: skip


def lock(given: Given, told: Told | None = None, who: str = "tester", **times: float) -> Lock:
    return worker.lock(given, told or Told(), who, **(SHORT | times))


def holder_now(given: Given) -> object:
    """Who has the lock, None when nobody has it or ever will by itself."""
    return worker.service(given, LockTimeouts(), Event()).look(CHECKSUM)


def test_it_is_held_and_free_again(given: Given) -> None:
    told = Told()
    for _ in range(2):
        with lock(given, told).hold(CHECKSUM) as held:
            assert held
            assert holder_now(given) is not None
        assert holder_now(given) is None
    assert told == Told(stopped=told.stopped)


def test_a_failure_inside_frees_it(given: Given) -> None:
    with pytest.raises(KeyError), lock(given).hold(CHECKSUM):
        raise KeyError
    assert holder_now(given) is None


def test_another_checksum_does_not_wait(given: Given) -> None:
    mine = lock(given)
    with mine.hold(CHECKSUM) as one, mine.hold(OTHER) as two:
        assert one and two


def test_a_second_run_waits_is_told_for_whom_and_then_has_it(given: Given) -> None:
    told, order, waiting = Told(), list[str](), Event()
    told.notes = _Calling(waiting.set)

    def second() -> None:
        with lock(given, told).hold(CHECKSUM) as held:
            order.append(f"second {held}")

    with lock(given, who="https://ci.example.com/jobs/1").hold(CHECKSUM):
        thread = Thread(target=second)
        thread.start()
        assert waiting.wait(300)
        order.append("first")
    thread.join(300)
    assert order == ["first", "second True"]
    assert told.warnings == []
    (note,) = told.notes
    assert note.endswith(f"publishes {CHECKSUM[:12]}; this run waits for it at most 30 s")
    # The name is asked for once the wait is long enough to be shown; git's is in an object of its own.
    assert note.startswith(("waiting    https://ci.example.com/jobs/1 ", "waiting    another run "))


def test_waiting_ends_and_the_run_goes_on_with_a_warning(given: Given) -> None:
    told = Told()
    with lock(given, lease=60).hold(CHECKSUM):
        for _ in range(2):
            # Not held, so not freed either.
            with lock(given, told, wait=1, lease=60).hold(CHECKSUM) as held:
                assert not held
        assert holder_now(given) is not None
    assert len(told.warnings) == 2
    assert f"The lock of {CHECKSUM[:12]}" in told.warnings[0] and "was not free within 1 s" in told.warnings[0]
    assert told.warnings[0].endswith("going on without it.")


def test_the_lock_of_a_killed_run_is_taken_over_when_its_lease_ends(given: Given) -> None:
    told = Told()
    with parts.holder(given | {"timeouts": SHORT | {"lease": LONGER}}) as process:
        process.kill()
        process.wait()
        assert holder_now(given) is not None
        with lock(given, told).hold(CHECKSUM) as held:
            assert held
    assert told.warnings == [] and holder_now(given) is None


def test_a_holder_that_takes_longer_than_its_lease_keeps_it_and_frees_it(given: Given) -> None:
    told = Told()
    with lock(given, lease=LONGER).hold(CHECKSUM) as held:
        assert held
        with lock(given, told, lease=LONGER, wait=1.5 * LONGER).hold(CHECKSUM) as other:
            assert not other
    assert "was not free" in told.warnings[0]
    assert holder_now(given) is None


def test_who_lost_the_lock_to_another_does_not_free_that_one_s(given: Given) -> None:
    if given["kind"] == "etcd":
        pytest.skip("etcd ends a lease by itself; nothing is taken over")
    first = worker.service(given, LockTimeouts(), Event(), "first")
    second = worker.service(given, LockTimeouts(), Event(), "second")
    mine, theirs = first.token(), second.token()
    assert first.claim(CHECKSUM, mine, None)
    seen = second.look(CHECKSUM)
    assert seen is not None
    assert second.claim(CHECKSUM, theirs, seen.version)
    assert first.renew(CHECKSUM, mine) is None
    first.release(CHECKSUM, mine)
    found = second.look(CHECKSUM)
    assert found is not None
    assert second.identify(CHECKSUM, found).who == "second"
    second.release(CHECKSUM, theirs)
    assert second.look(CHECKSUM) is None


def test_a_lock_that_changed_since_it_was_seen_is_not_taken_over(given: Given) -> None:
    first = worker.service(given, LockTimeouts(), Event())
    second = worker.service(given, LockTimeouts(), Event())
    mine = first.token()
    assert first.claim(CHECKSUM, mine, None)
    seen = second.look(CHECKSUM)
    renewed = first.renew(CHECKSUM, mine)
    assert seen is not None and renewed is not None
    # Neither over what is old, nor as if there were none; nor where there is none any more.
    assert not second.claim(CHECKSUM, second.token(), None)
    if second.takes_over:
        assert not second.claim(CHECKSUM, second.token(), seen.version)
    first.release(CHECKSUM, renewed)
    if second.name == "git":
        # The API server makes a Lease from such a request: then, nobody has it.
        assert not second.claim(CHECKSUM, second.token(), seen.version)
        assert second.look(CHECKSUM) is None


def test_a_run_that_is_stopped_while_it_waits_ends_and_leaves_no_lock(given: Given) -> None:
    told = Told()
    told.notes = _Calling(told.stopped.set)
    with lock(given).hold(CHECKSUM):
        with pytest.raises(Interrupted), lock(given, told, wait=300, lease=300).hold(CHECKSUM):
            pytest.fail("it cannot be held")
        assert told.warnings == []
    assert holder_now(given) is None


def test_a_signal_ends_a_waiting_process_and_leaves_no_lock(given: Given) -> None:
    with lock(given, lease=300).hold(CHECKSUM):
        process = parts.start(given | {"timeouts": SHORT | {"wait": 300}}, "hold")
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        Timer(0.5, process.send_signal, [signal.SIGTERM]).start()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1 and "Interrupted: The run was stopped." in errors
    assert holder_now(given) is None


def test_a_claim_whose_answer_is_lost_leaves_no_lock(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    service = worker.service(given, LockTimeouts(), told.stopped)
    really = service.claim

    def lost(checksum: str, token: str, over: str | None) -> bool:
        assert really(checksum, token, over)
        raise LockFailed("no answer")

    monkeypatch.setattr(service, "claim", lost)
    with LeasedLock(service, told.by).hold(CHECKSUM) as held:
        assert not held
    assert len(told.warnings) == 1 and "cannot be used: no answer." in told.warnings[0]
    assert holder_now(given) is None


def test_twenty_runs_at_once_never_hold_it_together(given: Given, tmp_path: Path) -> None:
    times = {"lease": 60, "wait": 240, "poll": 0.2}
    processes, rounds = 20, 1 if given["kind"] == "git" else 3
    assert parts.contend(given | {"timeouts": times}, tmp_path / "room", processes, rounds) == processes * rounds


def test_runs_that_are_killed_at_any_moment_hold_up_nobody(given: Given, tmp_path: Path) -> None:
    times = {"lease": 3.0, "wait": 60, "poll": 0.2, "notice": 0.3}
    killed = []
    for number in range(4):
        # Each in a room of its own: who is killed in there leaves it locked.
        (room := tmp_path / f"room {number}").mkdir()
        killed.append(parts.start(given | {"timeouts": times}, "contend", str(room), "1000"))
    for number, process in enumerate(killed):
        try:
            process.wait(1.5 + 0.13 * number)
        except subprocess.TimeoutExpired:
            process.kill()
        _, errors = process.communicate()
        assert errors == ""
    # Twice: what a killed run had sent may arrive after it, and hold up for a lease once more.
    for _ in range(2):
        with lock(given, Told(), wait=60).hold(CHECKSUM) as held:
            assert held


class _Calling(list[str]):
    """A list that calls when something is put into it."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def append(self, text: str) -> None:
        super().append(text)
        self._call()
