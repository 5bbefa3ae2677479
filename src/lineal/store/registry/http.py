"""`requests` without the packages by which it guesses the encoding of a text. Importing them takes a tenth of a run
that finds everything, and nothing that a registry says is a text of unknown encoding."""

from __future__ import annotations

import sys
import warnings

_GUESSING = ("chardet", "charset_normalizer")


def _import() -> None:
    if "requests" in sys.modules:
        return
    absent = {name: None for name in _GUESSING if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]  # so importing them fails, as where they are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it does without
            import requests as requests
    finally:
        for name in absent:
            del sys.modules[name]


_import()

import requests as requests  # noqa: E402
