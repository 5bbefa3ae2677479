"""No revision left unfinished: what helm could not clean up because it was killed is cleaned up here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineal.deploy.release import Release

if TYPE_CHECKING:
    from lineal.deploy.helm import Helm

_LIMIT = 60.0
"""Seconds for each question; none of them waits for resources."""
_WORKED = ("deployed", "superseded")
_UNFINISHED = ("pending-", "uninstalling", "failed")
"""`failed` too: a helm that was killed between giving up and rolling back leaves its half of the changes."""
_CUT_OFF = ("pending-", "uninstalling")
LABEL = "lineal-run"
"""On every revision that we ask for: tells ours from another job's when one is left pending."""


@dataclass(frozen=True, slots=True)
class Revision:
    number: int
    status: str


def settle(helm: Helm, release: Release, mark: str) -> str:
    """Undo the revision that the run `mark` left unfinished. What was done, as a sentence; empty: nothing.

    Never raises, and touches no revision that another job is working on."""
    revisions = _history(helm, release)
    if revisions is None:
        return f"Whether {release} is left unfinished is not known, as the cluster does not answer."
    if not revisions or not revisions[-1].status.startswith(_UNFINISHED):
        return ""
    if not any(_mark(helm, release, revision) == mark for revision in _last(revisions)):
        return ""
    return _put_back(helm, release, revisions)


def recover(helm: Helm, release: Release) -> str:
    """The same for what a run left that was killed. Only for who knows that no other run works on the release.

    A revision without our mark is somebody else's: helm itself will refuse to go on beside it."""
    revisions = _history(helm, release)
    if not revisions or not revisions[-1].status.startswith(_CUT_OFF):
        return ""
    if not any(_mark(helm, release, revision) for revision in _last(revisions)):
        return ""
    found = f"A run before left {release} {revisions[-1].status}, because it was killed."
    return f"{found} {_put_back(helm, release, revisions)}"


def _last(revisions: Sequence[Revision]) -> Sequence[Revision]:
    """A rollback that was cut off is a revision of its own, after the marked one, without its mark."""
    return revisions[-2:] if revisions[-1].status == "pending-rollback" else revisions[-1:]


def _put_back(helm: Helm, release: Release, revisions: Sequence[Revision]) -> str:
    worked = [revision.number for revision in revisions if revision.status in _WORKED]
    if not worked:
        return _undo(helm, release, ["uninstall"], [], "It was a first installation and has been uninstalled.")
    number = str(max(worked))
    return _undo(helm, release, ["rollback"], [number], f"It has been rolled back to revision {number}.")


def _undo(helm: Helm, release: Release, command: Sequence[str], what: Sequence[str], done: str) -> str:
    answer = helm.run([*command, *_where(release), "--", release.name, *what], shielded=True, limit=_LIMIT,
                      tethered=True)  # fmt: skip
    if answer.code == 0:
        return done
    by_hand = " ".join(["helm", *command, release.name, *what, "-n", release.namespace])
    return f"It is left unfinished: run `{by_hand}`."


def _history(helm: Helm, release: Release) -> list[Revision] | None:
    """Oldest first; empty when there is no such release, None when helm cannot tell."""
    command = ["history", *_where(release), "--max", "256", "--output", "json", "--", release.name]
    answer = helm.run(command, shielded=True, limit=_LIMIT)
    if answer.code != 0:
        return [] if any("release: not found" in line for line in answer.stderr) else None
    try:
        found = [Revision(int(entry["revision"]), str(entry["status"])) for entry in json.loads(answer.stdout)]
    except (ValueError, KeyError, TypeError):
        return None
    return sorted(found, key=lambda revision: revision.number)


def _mark(helm: Helm, release: Release, revision: Revision) -> str:
    """Empty when it is not ours."""
    # Helm 3.17 shows labels nowhere else.
    template = f'{{{{ index .Release.Labels "{LABEL}" }}}}'
    command = ["get", "all", *_where(release), "--revision", str(revision.number), "--template", template]
    answer = helm.run([*command, "--", release.name], shielded=True, limit=_LIMIT)
    said = answer.stdout.strip() if answer.code == 0 else ""
    return "" if said == "<no value>" else said


def _where(release: Release) -> list[str]:
    context = ["--kube-context", release.kube_context] if release.kube_context else []
    return ["--namespace", release.namespace, *context]
