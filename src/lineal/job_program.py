"""Programs of the job (a credential helper, a login of a kubeconfig) that are not where this run is."""

from __future__ import annotations

from collections.abc import Mapping


def in_its_place(environ: Mapping[str, str]) -> str:
    """What to do about a program that the job has and this run does not: a sentence for the container of the GitHub
    Action, nothing elsewhere."""
    if not environ.get("LINEAL_ACTION_WORKSPACE"):
        return ""
    action = environ.get("GITHUB_ACTION_REPOSITORY") or "your_org/lineal"
    return f"The container of this action has no program of the job: {action}/setup puts lineal on the runner itself."
