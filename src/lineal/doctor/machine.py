"""The clone and what this machine has: git, an engine, helm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lineal.doctor.finding import Finding, of_error
from lineal.errors import LinealError

if TYPE_CHECKING:
    from lineal.engine.table import Named
    from lineal.session.session import Session

_ENDS_EARLY = "Stages of earlier commits may be built again: use a full clone (fetch-depth: 0, GIT_DEPTH: 0)."


def project(session: Session) -> Iterator[Finding]:
    loaded = session.loaded
    images = ", ".join(loaded.project.images) or "no image"
    yield Finding("project", "ok", f"{loaded.project.project}: {images}.")


def history(session: Session) -> Iterator[Finding]:
    """Whether the clone has its history, or the remote would give it."""
    from lineal.git.remote import remote_refs

    clone = session.checkout
    if not clone.shallow:
        yield Finding("history", "ok", f"The clone has all history of {clone.commit[:12]}.")
        return
    try:
        remote_refs(clone, "--heads")
    except LinealError as error:
        what = f"The clone is shallow, and its remote does not answer: {error.message.rstrip('.')}."
        yield Finding("history", "problem", what, _ENDS_EARLY, error.id)
    else:
        yield Finding("history", "ok", "The clone is shallow; its remote answers, so what lacks will be fetched.")


def engine(session: Session) -> Iterator[Finding]:
    """A line for each engine that the run may use."""
    for named in session.engines.every:
        yield from _engine(session, named)


def _engine(session: Session, named: Named) -> Iterator[Finding]:
    from lineal.engine.select import SelectedEngine

    settings = session.settings
    selected = SelectedEngine(
        named.name, named.source, network=settings.engine_network.value, environment=settings.environ,
        workspace=session.workspace, note=session.progress.note,
    )  # fmt: skip
    try:
        machine = selected.machine()
    except LinealError as error:
        found = of_error("engine", error)
        yield Finding("engine", "problem", found.text, f"{found.remedy} Only a RUN needs it.".strip(), found.id)
        return
    finally:
        selected.close()
    own = machine.own if machine else "a platform that it does not say"
    yield Finding("engine", "ok", f"{named.name} ({named.source}) executes RUN on {own}.")
    wanted = {platform for image in session.loaded.project.images.values() for platform in image.platforms}
    for platform in sorted(wanted):
        if machine and machine.how(platform) == "none":
            remedy = "Install emulation (binfmt) on its machine, or name another engine for it in `engines:`."
            yield Finding("engine", "problem", f"{named.name} executes nothing for {platform}.", remedy)


def helm(session: Session) -> Iterator[Finding]:
    from lineal.deploy.helm.client import Helm

    if session.loaded.project.deploy is None:
        yield Finding("helm", "note", "lineal.yaml has no `deploy`, so nothing needs it.")
        return
    found = Helm.find(session.settings.environ)
    yield Finding("helm", "ok", f"{found.path} is helm {found.version}.")
