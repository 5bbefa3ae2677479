"""Recovery of a release whose helm was killed: its unfinished revision is rolled back, or uninstalled when it is the
first one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals

from lineal.deploy.helm.client import BEFORE_CHANGES, RUN_LABEL, Answer, Helm
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, Interrupted, LinealError

_LIMIT = 60.0
"""Seconds for each question; none of them waits for resources."""
_WORKED = ("deployed", "superseded")
_UNFINISHED = ("pending-", "uninstalling", "failed")
"""`failed` too: a helm that was killed between giving up and rolling back leaves its half of the changes."""
_CUT_OFF = ("pending-", "uninstalling")


def may_have_begun(answer: Answer, error: LinealError) -> bool:
    """Whether a `helm upgrade` that ended with `error` may have left a revision.

    A cluster that could not be reached is not asked again, which would take its time-out once more."""
    unreached = any("cluster unreachable" in line for line in answer.stderr)
    return bool(answer.signals) or not (unreached or isinstance(error, BadConfiguration))


def undo_own(helm: Helm, release: Release, mark: str) -> str:
    """Undo the unfinished revision of the run `mark`. Returns a sentence about what was done, empty for nothing.

    Raises nothing, and leaves the revisions of other jobs alone."""
    left = _Leftover(helm, release, shielded=True)
    revisions = left.revisions()
    if revisions is None:
        return f"Whether {release} is left unfinished is not known, as the cluster does not answer."
    if not revisions or not revisions[-1].status.startswith(_UNFINISHED) or left.run_of(revisions) != mark:
        return ""
    return left.put_back(revisions)[0]


def undo_killed(helm: Helm, release: Release) -> str:
    """Undo the unfinished revision of an earlier run that was killed. Returns a sentence, empty for nothing.

    The caller holds the release's lock, so no other run works on it. A revision that no run of ours made is left
    alone: helm itself refuses to go on beside it. Raises `Interrupted`."""
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
    """`shielded`: signals do not stop helm, because one has arrived already."""

    helm: Helm
    release: Release
    shielded: bool

    def revisions(self) -> list[_Revision] | None:
        """The oldest revision comes first. Empty when there is no such release, None when helm cannot tell."""
        answer = self._ask("history", self.release.name, "--max", "256", "--output", "json")
        if answer.code != 0:
            return [] if any("release: not found" in line for line in answer.stderr) else None
        try:
            found = [_Revision(int(entry["revision"]), str(entry["status"])) for entry in json.loads(answer.stdout)]
        except (ValueError, KeyError, TypeError):
            return None
        return sorted(found, key=lambda revision: revision.number)

    def run_of(self, revisions: Sequence[_Revision]) -> str:
        """The mark of our run that made the last revision, or the revision that a rollback was undoing. Empty when no
        run of ours made it.

        Helm copies labels to the next revision, even to one that somebody else makes. So a revision is ours only when
        its mark differs from that of the revision before."""
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
        """Roll back, or uninstall a first installation. Returns a sentence about it, and the signals that arrived
        meanwhile."""
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
        template = f'{{{{ index .Release.Labels "{RUN_LABEL}" }}}}'
        answer = self._ask(
            "get", "all", self.release.name, "--revision", str(revision.number), "--template", template
        )
        said = answer.stdout.strip() if answer.code == 0 else ""
        return "" if said == "<no value>" else said

    def _ask(self, *command: str) -> Answer:
        answer = self.helm.run([*command, *self.release.place_flags], shielded=self.shielded, limit=_LIMIT)
        if not self.shielded:
            answer.or_interrupted(f"Reading {self.release}", BEFORE_CHANGES)
        return answer
