"""How the command line says that something failed."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from lineal.errors import LinealError


def complain(error: LinealError, cause: BaseException | None = None) -> None:
    """Each failure as one line, as the CI marks it; with --debug the traceback of `cause` before it."""
    if os.environ.get("LINEAL_DEBUG") not in (None, "", "0"):
        import traceback

        traceback.print_exception(cause or error)
    from lineal.ci.provider import provider_of
    from lineal.text import defuse_commands, strip_controls

    # It may quote what a registry, a Dockerfile or helm wrote.
    with suppress(OSError):  # nobody reads stderr any more; the exit code still tells
        for one in error.every():
            if annotation := provider_of(os.environ).annotation(one):
                sys.stderr.write(f"{annotation}\n")
            sentence = " ".join(f"{one.words} [{one.id}]".splitlines())
            sys.stderr.write(f"Error: {defuse_commands(strip_controls(sentence))}\n")
