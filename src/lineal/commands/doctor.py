"""`lineal doctor`: what a run would meet, a line for each thing and what to do about it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from lineal.commands.output import show
from lineal.doctor.examine import examine
from lineal.doctor.finding import Finding
from lineal.session.session import Session
from lineal.text import defuse_commands, pad, paint, strip_controls

_STYLES = {"ok": "green", "note": "dim", "problem": "red"}


def doctor(session: Session, format: str) -> int:
    """The whole command; gives the exit code, that of a run which meets the first problem."""
    mask = session.hidden.mask
    found = []
    for one in examine(session):
        text, remedy = (strip_controls(" ".join(mask(part).split())) for part in (one.text, one.remedy))
        found.append(replace(one, text=text, remedy=remedy))
        if format != "json":
            show("".join(f"{line}\n" for line in _lines(found[-1])))
    if format == "json":
        show(_json(found))
    return next((one.exit_code for one in found if one.state == "problem"), 0)


def _lines(found: Finding) -> Iterator[str]:
    from lineal.ci.provider import provider_of
    from lineal.report.select import has_colour

    colour = has_colour(sys.stdout, os.environ, in_ci=provider_of(os.environ).markers() is not None)
    state = paint(pad(found.state, 7), _STYLES[found.state], colour)
    marked = f" [{found.id}]" if found.id else ""
    yield f"{state}  {pad(found.check, 9)}  {defuse_commands(found.text)}{marked}".rstrip()
    if found.remedy and found.state != "ok":
        yield f"{'':20}{defuse_commands(found.remedy)}"


def _json(found: Sequence[Finding]) -> str:
    checks = [{name: value for name, value in asdict(one).items() if name != "exit_code"} for one in found]
    return json.dumps({"ok": all(one.state != "problem" for one in found), "checks": checks}, indent=2) + "\n"
