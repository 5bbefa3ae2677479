"""What `lineal doctor` finds: one line for each thing that a run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lineal.errors import LinealError, Unreachable

State = Literal["ok", "note", "problem"]
"""`note`: a run does without it, and this is what it does without."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    state: State
    text: str
    remedy: str = ""
    id: str = ""
    """That of the error, which docs/errors.md explains; empty where there was none."""
    exit_code: int = Unreachable.exit_code
    """Of a run that meets this problem."""


def of_error(check: str, error: LinealError, state: State = "problem") -> Finding:
    """The error of a run as a finding."""
    text = error.message if error.place is None else f"{error.place}: {error.message}"
    return Finding(check, state, text, error.remedy or "", error.id, error.exit_code)
