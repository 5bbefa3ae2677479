"""The files with results that a run was asked for, beside what the environment of its CI asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class ResultFiles:
    warn: Callable[[str], None]
    """Takes a sentence for people about what has no room in a file."""
    report: str = ""
    """The path of `--report`, empty without it."""
    html: str = ""
    """The path of `--report-html`, empty without it."""
    dotenv: str = ""
    """The path of `--dotenv`, empty without it."""
    runners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels of the runners that were named for platforms."""
    summary: bool = True
    """Whether a summary of the job is written where the CI has one."""
