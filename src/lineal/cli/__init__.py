"""The command line: click parses arguments, `commands/` works, and this module owns the process.

`commands` and `bundles` declare the commands, `flags` the options that they share; `action` turns the inputs of the
GitHub Action into variables and arguments; `streams` has the process's streams. Here are signals and exit codes."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NoReturn

import click

from lineal.cli import collector as collector
from lineal.cli import streams
from lineal.cli.commands import cli as cli
from lineal.cli.complaint import complain
from lineal.errors import BadConfiguration, Interrupted, LinealError, as_lineal_error

_INTERRUPTED = 130
_UNWRITTEN = 120
"""What Python ends with when its output cannot be written."""


def main(around: AbstractContextManager[object] | None = None) -> NoReturn:
    """Run the command line; every expected failure is one sentence and its exit code. `around` is entered before the
    arguments are read, and may fail as a command may."""
    code = _main(around or nullcontext())
    if code != _INTERRUPTED:
        # As at the end of every Python program: threads end what they do, and then what was registered runs. Ctrl-C
        # ends that alone: what the run has come to is known.
        with suppress(KeyboardInterrupt):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = code or _UNWRITTEN
    with suppress(OSError, ValueError):
        # A log that cannot be flushed must not change the exit code.
        sys.stderr.flush()
    # Python would take hundreds of modules apart first, which is a tenth of a run that finds everything; and after an
    # interruption an upload that goes on in a thread would keep the process alive past the grace that a CI gives.
    os._exit(code)


def _main(around: AbstractContextManager[object] = nullcontext()) -> int:  # noqa: B008 (it has no state)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        streams.prepare()
        with around:
            cli(standalone_mode=False, prog_name="lineal")
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return BadConfiguration.exit_code
    except click.Abort:
        return _complain(as_lineal_error(KeyboardInterrupt()))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        return _complain(as_lineal_error(error), error)


def _interrupt(number: int, _frame: object) -> None:
    """SIGTERM ends a run like Ctrl-C does: cleanly, with the store as it was published."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def _complain(error: LinealError, cause: BaseException | None = None) -> int:
    complain(error, cause)
    return _INTERRUPTED if isinstance(error, Interrupted) else error.exit_code
