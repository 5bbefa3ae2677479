"""Runs Lineal with stopwatches around its ways out; as a script: `python bench/traced.py build …`.

The last line of stderr is JSON: milliseconds for each kind of thing. Times of several threads are added up."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_totals: Counter[str] = Counter()
_inside = threading.local()


def _timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a stopwatch; what runs inside another stopwatch of the same thread belongs to that one."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "busy", False):
            return function(*args, **kwargs)
        _inside.busy, start = True, time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            _inside.busy = False
            _totals[name] += round((time.perf_counter() - start) * 1e6)

    return wrapper


def main() -> None:
    start = time.perf_counter()
    builtins.__import__ = _timed("imports", builtins.__import__)
    from lineal.cli.commands import cli

    process: Any = subprocess.Popen
    subprocess.run = _timed("git", subprocess.run)
    process.__init__ = _timed("git", process.__init__)
    from lineal.store.registry.http import Session

    Session.request = _timed("registry requests", Session.request)  # type: ignore[method-assign]
    with suppress(SystemExit):
        cli(standalone_mode=False)
    whole = round((time.perf_counter() - start) * 1e6)
    spans = {name: _totals[name] for name in ("imports", "git", "registry requests")}
    spans["everything else"] = max(whole - sum(spans.values()), 0)
    sys.stderr.write("\n" + json.dumps({name: value / 1000 for name, value in spans.items()}) + "\n")


main()
