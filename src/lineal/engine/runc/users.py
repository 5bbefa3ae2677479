"""The users of a rootless task: this user is root in there, and the numbers of /etc/subuid are the others."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from lineal.errors import Unreachable

_ENOUGH = 65535
"""Users beside root that an image can expect."""


def map_users(process: int) -> None:
    """Raises `Unreachable` when this user has no numbers, or nothing may map them."""
    for program, file in (("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")):
        own = os.geteuid() if program == "newuidmap" else os.getegid()
        start, count = _subordinate(file)
        if shutil.which(program) is None:
            raise _refused(f"{program} is not installed")
        done = subprocess.run(
            [program, str(process), "0", str(own), "1", "1", str(start), str(count)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _refused(done.stderr.strip().rstrip(".") or f"{program} failed")


def _subordinate(file: str) -> tuple[int, int]:
    """The first number and how many there are."""
    names = {str(os.geteuid())}
    with suppress(KeyError, OSError):
        names.add(getpass.getuser())
    try:
        rows = [line.split(":") for line in Path(file).read_text().splitlines()]
    except OSError:
        rows = []
    for row in rows:
        if len(row) == 3 and row[0] in names and row[1].isdigit() and row[2].isdigit() and int(row[2]) >= _ENOUGH:
            return int(row[1]), int(row[2])
    raise _refused(f"{file} gives this user no {_ENOUGH} numbers")


def _refused(reason: str) -> Unreachable:
    return Unreachable(
        f"The engine runc cannot map the users of an image: {reason}.", id="LN-5045",
        remedy="Install uidmap and give this user numbers (`usermod --add-subuids 100000-165535 --add-subgids "
        "100000-165535 NAME`), or name another engine by `--engine` (LINEAL_ENGINE).",
    )  # fmt: skip
