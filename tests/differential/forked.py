"""`lineal` as a process of its own, without the half second in which Python imports: a server forks one for each run.

As a program it is that server: one JSON object a line in, one out when the run has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Result


@dataclass(frozen=True)
class Forked:
    server: subprocess.Popen[str]

    def __call__(self, *args: str, cwd: Path, env: Mapping[str, str], scratch: Path) -> Result:
        """Its streams go through files in `scratch`. Not for two threads at once."""
        out, err = scratch / "stdout", scratch / "stderr"
        asked = {"args": args, "cwd": str(cwd), "env": dict(env), "out": str(out), "err": str(err)}
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        code = json.loads(self.server.stdout.readline())
        return Result(code, out.read_text(errors="replace"), err.read_text(errors="replace"))


@contextmanager
def forked() -> Iterator[Forked]:
    command = [sys.executable, "-m", "tests.differential.forked"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield Forked(server)
        finally:
            assert server.stdin
            server.stdin.close()  # its end


def _serve() -> None:
    _import()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _be(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


def _import() -> None:
    import lineal.assemble.copy
    import lineal.cli
    import lineal.engine.docker
    import lineal.run
    import lineal.stages.builders
    import lineal.stages.workshop
    import lineal.store.layout
    import lineal.store.registry  # noqa: F401


def _be(asked: dict[str, Any]) -> None:
    """Become the run; this does not return."""
    for number, target in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[target], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["lineal", *asked["args"]]
    code = 70
    try:
        from lineal.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
