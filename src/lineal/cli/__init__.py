"""The command line: click parses arguments, `commands/` works, and this module owns the process.

`commands` and `bundles` declare the commands, `flags` the options that they share; `action` turns the inputs of the
GitHub Action into variables and arguments; `streams` has the process's streams. Here are signals and exit codes."""

from __future__ import annotations

from lineal.cli import collector as collector  # before all that makes something

# isort: split
import atexit
import os
import signal
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NoReturn

import click

from lineal.cli import streams
from lineal.cli.commands import cli as cli
from lineal.cli.complaint import complain
from lineal.errors import BadConfiguration, Interrupted, as_lineal_error

_INTERRUPTED = 130
_MOMENT, _POKES = 0.1, 10
"""Seconds between the pokes after a signal, and how many there are."""
_UNWRITTEN = 120
"""What Python ends with when its output cannot be written."""


def main(around: AbstractContextManager[object] | None = None) -> NoReturn:
    """Run the command line; every expected failure is one sentence and its exit code. `around` is entered before the
    arguments are read, and may fail as a command may."""
    end = _End()
    signal.signal(signal.SIGTERM, end.signalled)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end.signalled)
    try:
        _run(end, around or nullcontext())
    except KeyboardInterrupt:
        # The second one, before a word was said about the first.
        end.code = _INTERRUPTED
    if end.code != _INTERRUPTED and not end.interrupted:
        threading._shutdown()  # type: ignore[attr-defined]  # as at the end of every Python program
        atexit._run_exitfuncs()
    end.now()


def _watch_signals(end: _End) -> None:
    """A signal that comes just before the main thread waits for a lock is seen after that wait only, and Python drops
    what is raised in a destructor, also in that of the lock of an import. So the main thread is poked some times
    after each signal."""
    main, (told, tell) = threading.get_ident(), os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGURG, end.poked)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    sys.unraisablehook = end.dropped

    def poke() -> None:
        while numbers := os.read(told, 64):
            if not {signal.SIGTERM, signal.SIGINT} & set(numbers):
                continue  # a poke is a signal, too
            for _ in range(_POKES):
                time.sleep(_MOMENT)
                signal.pthread_kill(main, signal.SIGURG)

    threading.Thread(target=poke, name="signals", daemon=True).start()


class _End:
    """How this process ends. From the moment its exit code is known, a signal ends it with that at once: what the run
    has come to stands, and nothing waits for a thread any more."""

    code: int | None = None
    interrupted = False
    """Whether a signal came before."""
    _lost = False
    """Whether Python has dropped its exception."""

    def signalled(self, number: int, _frame: object) -> None:
        """SIGTERM ends a run like Ctrl-C does: cleanly, with the store as it was published."""
        if self.code is not None:
            self.now()
        self.interrupted = True
        raise KeyboardInterrupt(signal.Signals(number).name)

    def dropped(self, lost: sys.UnraisableHookArgs) -> None:
        """Of what Python cannot raise anywhere."""
        if isinstance(lost.exc_value, KeyboardInterrupt):
            self._lost = True
        else:
            sys.__unraisablehook__(lost)

    def poked(self, _number: int, _frame: object) -> None:
        if self._lost and self.code is None:
            self._lost = False
            raise KeyboardInterrupt

    def now(self) -> NoReturn:
        code = self.code or 0
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            code = code or _UNWRITTEN
        except RuntimeError:
            # A signal came while it was being flushed.
            pass
        with suppress(OSError, ValueError, RuntimeError):
            # A log that cannot be flushed must not change the exit code.
            sys.stderr.flush()
        # Python would take hundreds of modules apart first, which is a tenth of a run that finds everything; and an
        # upload that goes on in a thread after an interruption would outlive the grace that a CI gives.
        os._exit(code)


def _run(end: _End, around: AbstractContextManager[object]) -> None:
    """Gives `end` the exit code, before anything is said of a failure."""
    try:
        streams.prepare()
        _watch_signals(end)
        with around:
            cli(standalone_mode=False, prog_name="lineal")
        end.code = 0
    except click.exceptions.Exit as done:
        end.code = done.exit_code
    except SystemExit as done:
        # A command that has something to tell by its exit code, such as 2 for what is pending.
        end.code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except click.ClickException as error:
        end.code = BadConfiguration.exit_code
        error.show()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        known = as_lineal_error(KeyboardInterrupt() if isinstance(error, click.Abort) else error)
        end.code = _INTERRUPTED if isinstance(known, Interrupted) else known.exit_code
        complain(known, error)
