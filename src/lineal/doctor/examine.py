"""Asks one thing after the other; what is wrong with one says nothing about the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lineal.doctor.cluster import cluster
from lineal.doctor.finding import Finding, of_error
from lineal.doctor.machine import engine, helm, history, project
from lineal.doctor.store import clock, store
from lineal.errors import Interrupted, LinealError

if TYPE_CHECKING:
    from lineal.session.session import Session

_THEN: dict[str, Callable[[Session], Iterator[Finding]]] = {
    "store": store, "clock": clock, "engine": engine, "helm": helm, "cluster": cluster,
}  # fmt: skip
"""What is asked only when the project could be read: it says where these are."""


def examine(session: Session) -> Iterator[Finding]:
    """Everything that is found, in the order in which it is asked."""
    yield from _asked("history", history, session)
    why_not: dict[str, str] = {}
    for found in _asked("project", project, session):
        if found.state == "problem":
            why_not = dict.fromkeys(_THEN, "the project has to be read first")
        yield found
    for check, ask in _THEN.items():
        if check in why_not:
            yield Finding(check, "note", f"Not asked: {why_not[check]}.")
            continue
        for found in _asked(check, ask, session):
            if found.check == "store":
                why_not["clock"] = "the store does not answer"
            yield found


def _asked(check: str, ask: Callable[[Session], Iterator[Finding]], session: Session) -> Iterator[Finding]:
    try:
        yield from ask(session)
    except Interrupted:
        raise
    except LinealError as error:
        for one in error.every():
            yield of_error(check, one)
