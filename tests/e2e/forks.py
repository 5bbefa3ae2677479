"""Many runs of `lineal` in the time of a few: each is a fork of one process that has imported everything.

`python -m tests.e2e.forks` reads a line of JSON for each run and answers with its exit code, negative for a signal.
A run may be told to kill itself with SIGKILL at its n-th write to the store."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

_STEPS = threading.Lock()


class Forks:
    """Runs in the environment given; one after the other."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forks"],
            cwd=Path(__file__).parents[2],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Forks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.stdin.close()  # type: ignore[union-attr]
        self._server.wait(60)
        self._server.stdout.close()  # type: ignore[union-attr]

    def run(self, *args: str, cwd: Path, output: Path, die: int = 0) -> int:
        """A run to its end, its streams in the file `output`. `die`: the step to kill it at, from 1 on."""
        order = {"args": args, "cwd": str(cwd), "output": str(output), "die": die}
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, f"the server of forks ended with {self._server.wait(10)}"
        return int(answer)


def _import_everything() -> None:
    import lineal

    for module in pkgutil.walk_packages(lineal.__path__, "lineal."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # what needs an extra
                importlib.import_module(module.name)


def _child(order: dict[str, Any]) -> None:
    os.chdir(order["cwd"])
    with open(order["output"], "wb") as output, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if order["die"]:
        _die_at(order["die"])
    from lineal.cli import main

    sys.argv = ["lineal", *order["args"]]
    main()


def _die_at(last: int) -> None:
    """A step is what can differ in a store: every answered PUT of a registry; before and after a file of a layout
    takes its place."""
    import requests

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

    requests.Session.request = around(requests.Session.request, is_put, before=False)  # type: ignore[method-assign]
    Path.replace = around(Path.replace, is_content, before=True)  # type: ignore[method-assign]


def _serve() -> None:
    _import_everything()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _child(json.loads(line))
            except SystemExit as done:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(done.code if isinstance(done.code, int) else 1)
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
