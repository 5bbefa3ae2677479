"""The beginning of a task: its namespaces, its orders, its answer.

A task is told what to do by a line of JSON on its control socket, and answers with lines of JSON there. Rootless, it
asks first to have its users mapped, which only somebody outside can do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from lineal.engine.runc.inside import kernel
from lineal.engine.runc.inside.control import Control, silence

MAPPED = "mapped"


def main(descriptor: int, *, tethered: bool) -> None:
    """`tethered`: ends with its parent."""
    control = Control(descriptor)
    try:
        orders = control.receive()
        os.umask(0)
        if orders["rootless"]:
            _enter_user_namespace(control, tethered=tethered)
        if orders["namespaces"]:
            _in_namespaces(lambda: _task(orders, control))
        else:
            _task(orders, control)
    except OSError as error:
        control.send(failed=_words(error), errno=error.errno)
    except Exception as error:  # noqa: BLE001 (whatever it is, who waits for an answer is to hear of it)
        control.send(failed=f"{type(error).__name__}: {error} ({_place(error)})")
    # Not through Python's own end: there is nothing left to clean, and a child of `_in_namespaces` ends here too.
    os._exit(0)


def _task(orders: dict[str, Any], control: Control) -> None:
    name = orders["task"]
    if name == "unpack":
        from lineal.engine.runc.inside.unpack import unpack as perform
    elif name == "run":
        from lineal.engine.runc.inside.execution import run as perform
    elif name == "read":
        from lineal.engine.runc.inside.cache import read as perform
    elif name == "restore":
        from lineal.engine.runc.inside.restore import restore as perform
    elif name == "adopt":
        from lineal.engine.runc.inside.overlay import adopt as perform
    elif name == "probe":
        from lineal.engine.runc.inside.overlay import probe as perform
    else:
        from lineal.engine.runc.inside.remove import remove as perform
    perform(orders, control)


def _enter_user_namespace(control: Control, *, tethered: bool) -> None:
    parent = os.getppid()
    kernel.unshare(kernel.NEWUSER)
    control.send(map=os.getpid())
    if control.receive() != {MAPPED: True}:
        os._exit(1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if tethered:
        # The kernel has forgotten it with the change of users.
        kernel.die_with(parent)


def _in_namespaces(perform: Callable[[], None]) -> None:
    """In a child that is the first process of its namespace: when it dies, all in there do, and its mounts go."""
    kernel.unshare(kernel.NEWNS | kernel.NEWPID)
    kernel.mount("none", "/", "", kernel.RECURSIVE | kernel.PRIVATE)
    child = os.fork()
    if not child:
        # Our parent has no number in here.
        kernel.die_with(0)
        kernel.mount("proc", "/proc", "proc", kernel.NOSUID | kernel.NODEV | kernel.NOEXEC)
        perform()
        return
    silence()
    _, status = os.waitpid(child, 0)
    os._exit(0 if status == 0 else 1)


def _place(error: Exception) -> str:
    """Where it was raised. `traceback` would take longer to load than all else here."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{os.path.basename(at.tb_frame.f_code.co_filename)}:{at.tb_lineno}" if at else ""


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
