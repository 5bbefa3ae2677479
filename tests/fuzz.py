"""`make fuzz`: every Hypothesis test searches with new examples, again and again, until its share of time is over.

A plugin of pytest (`-p tests.fuzz`). What a test finds is printed below its traceback as an `@example(...)` to paste
above the test."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator

import pytest

SECONDS = float(os.environ.get("LINEAL_FUZZ", "300"))
_FOUND = re.compile(r"^(?:Failing|Falsifying) [a-z ]+: \w+\(\n(?P<arguments>.*?)^\)", re.MULTILINE | re.DOTALL)


class Budget:
    """The time of one test process, for the tests that it can expect to get."""

    def __init__(self, tests: float) -> None:
        self._end = time.monotonic() + SECONDS
        self._left = tests

    def next_end(self) -> float:
        """When the next test is to end: a slow one before it has taken from all that follow."""
        now = time.monotonic()
        share = (self._end - now) / max(self._left, 1)
        self._left -= 1
        return now + share


_BUDGET = pytest.StashKey[Budget]()


def pytest_collection_finish(session: pytest.Session) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    session.config.stash[_BUDGET] = Budget(len(session.items) / workers)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    end = pyfuncitem.config.stash[_BUDGET].next_end()
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    while True:
        pyfuncitem.obj(**arguments)
        if time.monotonic() >= end:
            return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        found = dict.fromkeys(example for note in _notes(call.excinfo.value) for example in examples(note, item))
        report.sections += [("Example to paste", example) for example in found]
    return report


def _notes(error: BaseException) -> Iterator[str]:
    yield from getattr(error, "__notes__", ())
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _notes(one)


def examples(note: str, item: pytest.Function) -> Iterator[str]:
    """What Hypothesis says, as decorators: without the fixtures, which it names too."""
    for found in _FOUND.finditer(note):
        # What was drawn while the test ran has no other form than the @reproduce_failure that Hypothesis prints.
        if "data(...)" in found["arguments"]:
            continue
        arguments = re.split(r"^(?=    \w+=)", found["arguments"], flags=re.MULTILINE)
        kept = [one for one in arguments if one and one.strip().partition("=")[0] not in item.funcargs]
        yield f"@example(\n{''.join(kept)})"
