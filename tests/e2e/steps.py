"""A run that kills itself with SIGKILL at its n-th write to the store."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STEPS = threading.Lock()


def die_at(last: int) -> None:
    """A step is what can differ in a store: every answered PUT of a registry; before and after a file of a layout
    takes its place."""
    from lineal.store.registry.http import Session

    steps = 0

    def step() -> None:
        nonlocal steps
        with _STEPS:
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable[..., Any], counts: Callable[..., bool], *, before: bool) -> Callable[..., Any]:
        def stepping(*args: Any, **kwargs: Any) -> Any:
            if counts(*args) and before:
                step()
            result = function(*args, **kwargs)
            if counts(*args):
                step()
            return result

        return stepping

    def is_put(session: object, method: str, *rest: object) -> bool:
        return method == "PUT"

    def is_content(source: Path, target: object) -> bool:
        return source.name.startswith(".lineal-")

    Session.request = around(Session.request, is_put, before=False)  # type: ignore[method-assign]
    Path.replace = around(Path.replace, is_content, before=True)  # type: ignore[method-assign]
