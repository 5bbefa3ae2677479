"""The streams of the process and how it reads the names of files, set right before anything else is done."""

from __future__ import annotations

import codecs
import os
import sys
import warnings


def prepare() -> None:
    """Names of files and output may hold any bytes; each of the three streams is there, be it for nothing."""
    _speak_utf8()
    _open()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # `[[a]` in a .dockerignore means what it does in docker; what Python may once make of it is nobody's business.
    warnings.simplefilter("ignore", FutureWarning)


def _speak_utf8() -> None:
    """git keeps names in UTF-8. An interpreter that was started otherwise (`PYTHONUTF8=0`, an old locale) could not
    open half of them, and can only be told at its start."""
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8" and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 (it is ourselves)


def _open() -> None:
    """A descriptor that is closed (`>&-`) would be that of the next file, which others then write into."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
