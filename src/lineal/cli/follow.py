"""`--follow`: a command again and again, each time for the working tree as somebody has just saved it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lineal.cli.complaint import complain
from lineal.cli.runtime import session_of
from lineal.errors import BadConfiguration, Interrupted, LinealError
from lineal.progress import Progress

if TYPE_CHECKING:
    from lineal.session.session import Session

_CLEAR = "\x1b[2J\x1b[3J\x1b[H"
_NOT_DEV = "LN-1066"
_NAMED = 3
"""Changed files that are named; others are counted."""


class Brief:
    """The progress of a round after the first: what the run is about has been said."""

    def __init__(self, inner: Progress) -> None:
        self.note: Callable[[str], None] = lambda _text: None
        self.warn, self.begin, self.output, self.end = inner.warn, inner.begin, inner.output, inner.end
        self.close = inner.close


def follow(given: dict[str, Any], run: Callable[[Session], None]) -> NoReturn:
    """Runs, and runs again after each change, until somebody ends it (`KeyboardInterrupt`). What fails is said, and
    the next change awaited: a broken build is what people are about to mend."""
    from lineal.git.commit import Commit
    from lineal.git.watch import Watch

    watch = Watch(Commit.open(Path.cwd(), dict(os.environ)))
    rounds = 0
    while True:
        seen, began = watch.look(), time.monotonic()
        failed = _round(given, run, again=rounds > 0)
        rounds += 1
        took = f"{time.monotonic() - began:.1f} s"
        _say(f"{'Failed' if failed else 'Done'} after {took}, at {time.strftime('%H:%M:%S')}. "
             "Waiting for the next change; Ctrl-C ends.")  # fmt: skip
        changed = watch.wait(seen)
        if _on_screen():
            sys.stderr.write(_CLEAR)
        _say(_changed(changed))


def _round(given: dict[str, Any], run: Callable[[Session], None], *, again: bool) -> bool:
    """Whether it failed."""
    try:
        with session_of(dict(given), _brief() if again else None) as session:
            if not session.settings.dev.value:
                what = "--follow builds the working tree after each change, and nothing said that it may."
                raise BadConfiguration(what, id="LN-1066", remedy="Give --dev too.")
            run(session)
    except LinealError as error:
        # What no change of a file would mend.
        if isinstance(error, Interrupted) or error.id == _NOT_DEV:
            raise
        complain(error)
        return True
    return False


def _brief() -> Progress:
    from lineal.ci.provider import provider_of
    from lineal.report.select import choose

    return Brief(choose(sys.stderr, os.environ, provider_of(os.environ).markers()))


def _changed(paths: Sequence[str]) -> str:
    from lineal.text import plural, printable

    named = ", ".join(printable(path) for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return f"Changed: {named}" + (f" and {plural(more, 'more file')}" if more > 0 else "")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _on_screen() -> bool:
    from lineal.report.select import is_terminal

    return is_terminal(sys.stderr, os.environ)
