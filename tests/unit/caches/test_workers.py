"""What threads do is there, failed, or cancelled; nobody waits for one that hangs."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

import pytest

from lineal.caches.workers import Workers


def test_results_and_failures_come_back() -> None:
    workers = Workers(2)
    assert [one.result(300) for one in [workers.submit(pow, 2, number) for number in range(8)]] == [
        1, 2, 4, 8, 16, 32, 64, 128,
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 1, 0).result(300)
    workers.stop()


def test_what_has_not_begun_is_cancelled() -> None:
    workers, begun, end = Workers(1), Event(), Event()

    def wait() -> bool:
        begun.set()
        return end.wait(300)

    first = workers.submit(wait)
    begun.wait(300)
    second = workers.submit(end.set)
    workers.stop()
    assert second.cancelled()
    with pytest.raises(RuntimeError, match="stopped"):
        workers.submit(end.set)
    assert not end.is_set()
    end.set()
    assert first.result(300) is True


def test_python_ends_without_them() -> None:
    script = "from threading import Event; from lineal.caches.workers import Workers; Workers(1).submit(Event().wait)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
