"""The part of a run's settings that goes into the jobs which `plan` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from lineal.ci.runners import Runners
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class JobSettings:
    template: str
    """The path of `--template`, empty without it."""
    variables: Mapping[str, str]
    """`LINEAL_*` variables that stand for the flags of `plan`: a job gets variables by itself, but no flags."""
    has_vars: bool
    """Whether `--var` was given, whose values may be secret."""
    runners: Runners = field(default_factory=dict)
    """Those that were named for platforms."""
