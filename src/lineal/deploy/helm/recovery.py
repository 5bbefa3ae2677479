"""No revision left unfinished: what helm could not clean up because it was killed is cleaned up here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING

from lineal.deploy.release import Release
from lineal.errors import Interrupted

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Answer, Helm

_LIMIT = 60.0
"""Seconds for each question; none of them waits for resources."""
_WORKED = ("deployed", "superseded")
_UNFINISHED = ("pending-", "uninstalling", "failed")
"""`failed` too: a helm that was killed between giving up and rolling back leaves its half of the changes."""
_CUT_OFF = ("pending-", "uninstalling")
LABEL = "lineal-run"
"""On every revision that we ask for: tells ours from another job's when one is left pending."""


def undo_own(helm: Helm, release: Release, mark: str) -> str:
    """Undo the revision that the run `mark` left unfinished. What was done, as a sentence; empty: nothing.

    Never raises, and touches no revision that another job is working on."""
    left = _Leftover(helm, release, shielded=True)
    revisions = left.revisions()
    if revisions is None:
        return f"Whether {release} is left unfinished is not known, as the cluster does not answer."
    if not revisions or not revisions[-1].status.startswith(_UNFINISHED) or left.run_of(revisions) != mark:
        return ""
    return left.put_back(revisions)[0]


def undo_killed(helm: Helm, release: Release) -> str:
    """The same for what a run left that was killed. Only for who knows that no other run works on the release.

    What no run of ours made is left alone: helm itself will refuse to go on beside it. Raises `Interrupted`."""
    left = _Leftover(helm, release, shielded=False)
    revisions = left.revisions()
    if not revisions or not revisions[-1].status.startswith(_CUT_OFF) or not left.run_of(revisions):
        return ""
    done, signals = left.put_back(revisions)
    said = f"A run before left {release} {revisions[-1].status}, because it was killed. {done}"
    if signals:
        raise Interrupted(f"Interrupted by {signals[0].name}. {said}")
    return said


@dataclass(frozen=True, slots=True)
class _Revision:
    number: int
    status: str


@dataclass(frozen=True, slots=True)
class _Leftover:
    """`shielded`: a signal has arrived already, and another one does not stop the tidying up."""

    helm: Helm
    release: Release
    shielded: bool

    def revisions(self) -> list[_Revision] | None:
        """Oldest first; empty when there is no such release, None when helm cannot tell."""
        answer = self._ask("history", self.release.name, "--max", "256", "--output", "json")
        if answer.code != 0:
            return [] if any("release: not found" in line for line in answer.stderr) else None
        try:
            found = [_Revision(int(entry["revision"]), str(entry["status"])) for entry in json.loads(answer.stdout)]
        except (ValueError, KeyError, TypeError):
            return None
        return sorted(found, key=lambda revision: revision.number)

    def run_of(self, revisions: Sequence[_Revision]) -> str:
        """The mark of the run of ours that made the last revision, or the one that a rollback was undoing; empty when
        none of ours did.

        Helm copies labels to the next revision, whoever makes it: ours has another mark than the one before."""
        last = len(revisions) - 1
        if revisions[last].status == "uninstalling" and last > 0:
            return ""  # our runs uninstall only what was a first installation
        if revisions[last].status == "pending-rollback":
            last -= 1
            if last < 0 or not revisions[last].status.startswith(_UNFINISHED):
                return ""
        mark = self._mark(revisions[last])
        return mark if mark and (last == 0 or self._mark(revisions[last - 1]) != mark) else ""

    def put_back(self, revisions: Sequence[_Revision]) -> tuple[str, tuple[Signals, ...]]:
        """What was done, and the signals that arrived meanwhile."""
        worked = [revision.number for revision in revisions if revision.status in _WORKED]
        command, done = ["uninstall", self.release.name], "It was a first installation and has been uninstalled."
        if worked:
            command = ["rollback", self.release.name, str(max(worked))]
            done = f"It has been rolled back to revision {max(worked)}."
        # Hooks run, and may take as long as those of a deploy.
        limit = max(self.release.timeout, _LIMIT)
        answer = self.helm.run([*command, "--timeout", f"{round(limit)}s", *self.release.place_flags], shielded=True,
                               limit=limit + _LIMIT, tethered=True)  # fmt: skip
        if answer.code != 0:
            done = f"It is left unfinished: run `{' '.join(['helm', *command])} -n {self.release.namespace}`."
        return done, answer.signals

    def _mark(self, revision: _Revision) -> str:
        """Empty when there is none."""
        # Helm 3.17 shows labels nowhere else.
        template = f'{{{{ index .Release.Labels "{LABEL}" }}}}'
        answer = self._ask(
            "get", "all", self.release.name, "--revision", str(revision.number), "--template", template
        )
        said = answer.stdout.strip() if answer.code == 0 else ""
        return "" if said == "<no value>" else said

    def _ask(self, *command: str) -> Answer:
        answer = self.helm.run([*command, *self.release.place_flags], shielded=self.shielded, limit=_LIMIT)
        if answer.signals and not self.shielded:
            raise Interrupted(f"Interrupted by {answer.signals[0].name} before {self.release} was changed.")
        return answer
