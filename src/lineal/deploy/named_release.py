"""A release that a command names which needs no chart: to take it away, to go back, to look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineal.deploy.helm.client import Helm
from lineal.deploy.inputs import ReleaseInputs, seconds_of
from lineal.deploy.release import Chart, Release
from lineal.session.session import require_write
from lineal.session.settings import ReleaseSettings

if TYPE_CHECKING:
    from lineal.session.session import Session


@dataclass(frozen=True, slots=True)
class NamedRelease:
    helm: Helm
    release: Release
    project: str | None
    """None when no repository was asked."""

    @classmethod
    def of(cls, session: Session, refusal: str) -> NamedRelease:
        """The release that `--release` and `--namespace` name; for what they leave out, lineal.yaml is asked.

        With both, no repository is needed: a review app ends when its branch is gone. `refusal` is for a run that may
        not write. Raises `LinealError`."""
        found, project = ReleaseSettings.of(session.settings), None
        server_side = session.settings.server_side.value or None
        if not found.name.value or not found.namespace.value:
            inputs = ReleaseInputs(session)
            found, project = inputs.settings, session.loaded.project.project
            server_side = server_side or inputs.deploy.server_side or None
            require_write(session, refusal, "Run it from a branch of the project itself.")
        release = Release(
            name=found.name.value, namespace=found.namespace.value, chart=Chart("", ""),
            kube_context=session.settings.kube_context.value or None,
            timeout=seconds_of(found.timeout), server_side=server_side,
        )  # fmt: skip
        return cls(Helm.find(session.settings.environ), release, project)
