"""Removing directories whose files belong to whomever."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import Any

from lineal.engine.runc.inside.control import Control


def remove(orders: dict[str, Any], control: Control) -> None:
    """`paths`: directories, which may be gone already."""
    # Who started this may be gone long since, and its place be needed.
    os.chdir("/")
    for path in orders["paths"]:
        shutil.rmtree(path, onerror=_again)
    with suppress(OSError):
        control.send(done=True)


def _again(_function: Any, path: str, _error: Any) -> None:
    """A directory that its owner closed: in a user namespace, its root still must open it first."""
    with suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
        else:
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
