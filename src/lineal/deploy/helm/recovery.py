"""Recovery of a release whose last revision failed, was cut off or never became ready: it is rolled back to the last
revision that worked, or uninstalled when it is the first one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from signal import Signals

from lineal import process
from lineal.deploy.helm import errors, hooks_left
from lineal.deploy.helm.client import BEFORE_CHANGES, RUN_LABEL, Answer, Helm
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, Interrupted, LinealError

_LIMIT = 60.0
"""Seconds for each question; none of them waits for resources."""
_WORKED = ("deployed", "superseded")
_CUT_OFF = ("pending-", "uninstalling")
_BAD = (*_CUT_OFF, "failed")
_ROLLBACK = "Rollback "
"""The first word of the description of a rollback, whether it worked or not."""


def is_cut_off(status: str) -> bool:
    """Whether a revision of that status is one that helm is working on, or was killed amid."""
    return status.startswith(_CUT_OFF)


def may_have_begun(answer: Answer, error: LinealError) -> bool:
    """Whether a `helm upgrade` that ended with `error` may have left a revision.

    A cluster that could not be reached is not asked again, which would take its time-out once more."""
    unreached = any("cluster unreachable" in line for line in answer.stderr)
    return bool(answer.signals) or not (unreached or isinstance(error, BadConfiguration))


def undo_own(
    helm: Helm, release: Release, mark: str, *, deployed: bool = False, wait: bool = True, killed: str = "",
    pause: Callable[[], bool] = process.go_on,
) -> str:  # fmt: skip
    """Undo the revision of the run `mark` when it failed or is unfinished; with `deployed`, also when helm takes it
    for deployed. Returns a sentence about what was done, empty for nothing.

    `killed` is the mark of the run before when that was killed: helm may call its revision deployed, but nobody has
    seen it ready. `wait`: until what worked before is ready again. Raises nothing, and leaves the revisions of other
    jobs alone."""
    left = _Leftover(helm, release, shielded=True, pause=pause)
    revisions = left.revisions()
    if revisions is None:
        return f"Whether {release} is left unfinished is not known, as the cluster does not answer."
    bad = (*_BAD, "deployed") if deployed else _BAD
    if not revisions or not revisions[-1].status.startswith(bad) or left.run_of(revisions) != mark:
        return ""
    return left.put_back(revisions, wait=wait, killed=killed)[0]


def undo_killed(helm: Helm, release: Release, killed: str = "", *, pause: Callable[[], bool] = process.go_on) -> str:
    """Undo the unfinished revision of an earlier run that was killed. Returns a sentence, empty for nothing.

    The caller holds the release's lock, so no other run works on it; `killed` is the mark of the run from which it
    was taken over. A revision that no run of ours made is left alone: helm itself refuses to go on beside it. Raises
    `Interrupted`."""
    left = _Leftover(helm, release, shielded=False, pause=pause)
    revisions = left.revisions()
    if not revisions or not is_cut_off(revisions[-1].status) or not left.run_of(revisions, killed):
        return ""
    done, signals = left.put_back(revisions, wait=False)
    said = f"A run before left {release} {revisions[-1].status}, because it was killed. {done}"
    if signals:
        raise Interrupted(f"Interrupted by {signals[0].name}. {said}")
    return said


def finish_rollback(helm: Helm, release: Release, number: int, *, pause: Callable[[], bool] = process.go_on) -> str:
    """End the rollback to this revision when helm was stopped amid it: all its objects are applied, and nothing is
    waited for. Returns a sentence about it, empty for nothing. Raises nothing."""
    left = _Leftover(helm, release, shielded=True, pause=pause)
    revisions = left.revisions()
    if not revisions or revisions[-1].status != "pending-rollback":
        return ""
    flags = [*helm.rollback_flags(release, wait=False), *release.place_flags]
    command = ["rollback", release.name, str(number)]
    answer = helm.run([*command, *flags], shielded=True, limit=release.timeout + _LIMIT, pause=pause, tethered=True)
    if answer.code != 0:
        return f"It is left unfinished: run `helm {' '.join(command)} -n {release.namespace}`."
    return f"Its objects are those of revision {number}; whether they become ready was not waited for."


def revisions_of(helm: Helm, release: Release) -> list[Revision]:
    """The history, the oldest revision first; empty where there is none, or none that helm tells. Raises
    `Interrupted`."""
    return _Leftover(helm, release, shielded=False, pause=process.go_on).revisions() or []


@dataclass(frozen=True, slots=True)
class Revision:
    number: int
    status: str
    description: str

    @property
    def worked(self) -> bool:
        """Whether helm has deployed it. Helm calls a failed revision superseded too, once a rollback from it has
        failed as well."""
        return self.status in _WORKED and " failed: " not in self.description

    @property
    def restored(self) -> int | None:
        """The revision that it is a rollback to."""
        found = re.match(rf"{_ROLLBACK}to (\d+)", self.description)
        return int(found[1]) if found else None

    @property
    def uninstalled(self) -> bool:
        """Once another installation has followed, helm calls it superseded, by these words."""
        return self.status == "uninstalled" or self.description == "superseded by new release"


def last_good(revisions: Sequence[Revision]) -> int | None:
    """The revision before the last one to go back to: the last that worked and that nobody has rolled back since.
    None of before an uninstall, which may keep the history."""
    gone = [index for index, one in enumerate(revisions[:-1]) if one.uninstalled]
    revisions = revisions[gone[-1] + 1 :] if gone else revisions
    bad = {one.number for one in revisions if not one.worked}
    # What somebody rolled back to on purpose has not worked because of that.
    revisions = [one for one in revisions[:-1] if one.restored not in bad] + list(revisions[-1:])
    earlier = [one for one, then in pairwise(revisions) if one.worked and not then.description.startswith(_ROLLBACK)]
    earlier = earlier or [one for one in revisions[:-1] if one.worked]
    return max((one.number for one in earlier), default=None)


@dataclass(frozen=True, slots=True)
class _Leftover:
    """`shielded`: signals do not stop helm, because one has arrived already. `pause` is that of `process.run`."""

    helm: Helm
    release: Release
    shielded: bool
    pause: Callable[[], bool]

    def revisions(self) -> list[Revision] | None:
        """The oldest revision comes first. Empty when there is no such release, None when helm cannot tell."""
        answer = self._ask("history", self.release.name, "--max", "256", "--output", "json")
        if answer.code != 0:
            return [] if any("release: not found" in line for line in answer.stderr) else None
        try:
            found = [
                Revision(int(entry["revision"]), str(entry["status"]), str(entry.get("description")))
                for entry in json.loads(answer.stdout)
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return sorted(found, key=lambda revision: revision.number)

    def run_of(self, revisions: Sequence[Revision], killed: str = "") -> str:
        """The mark of our run that made the last revision, or the revision that a rollback was undoing. Empty when no
        run of ours made it.

        A rollback from what helm takes for deployed may be anybody's, unless a run of ours was `killed`. Helm copies
        labels to the next revision, even to one that somebody else makes. So a revision is ours only when its mark
        differs from that of the revision before."""
        last = len(revisions) - 1
        if revisions[last].status == "uninstalling" and last > 0:
            return ""  # our runs uninstall only what was a first installation
        if revisions[last].status == "pending-rollback":
            last -= 1
            if last < 0 or not (killed or revisions[last].status.startswith(_BAD)):
                return ""
        mark = self._mark(revisions[last])
        return mark if mark and (last == 0 or self._mark(revisions[last - 1]) != mark) else ""

    def put_back(
        self, revisions: Sequence[Revision], *, wait: bool, killed: str = ""
    ) -> tuple[str, tuple[Signals, ...]]:
        """Roll back, or uninstall a first installation. Returns a sentence about it, and the signals that arrived
        meanwhile."""
        cut_off = revisions[-1].status.startswith(_CUT_OFF)
        hooks = hooks_left.hooks_of(self.helm, self.release, revisions[-1].number)
        good = last_good(revisions)
        if killed and good is not None and good == revisions[-2].number and self._mark(revisions[-2]) == killed:
            good = last_good(revisions[:-1]) or good
        command, done = ["uninstall", self.release.name], "It was a first installation and has been uninstalled."
        flags: list[str] = []
        if good is not None:
            command, done = ["rollback", self.release.name, str(good)], f"It has been rolled back to revision {good}."
            flags = self.helm.rollback_flags(self.release, wait=wait)
        # Hooks run, and may take as long as those of a deploy.
        limit = max(self.release.timeout, _LIMIT)
        flags += ["--timeout", f"{round(limit)}s", *self.release.place_flags]
        answer = self.helm.run(
            [*command, *flags], shielded=True, limit=2 * limit + _LIMIT, pause=self.pause, tethered=True
        )
        if answer.code != 0 and good is not None and re.search(errors.TIMED_OUT, errors.reason_of(answer.stderr)):
            done = (
                f"It has been rolled back to revision {good}, which is not ready after {limit:g} s either; a pod of "
                "a StatefulSet may have to be deleted by hand."
            )
        elif answer.code != 0:
            done = f"It is left unfinished: run `{' '.join(['helm', *command])} -n {self.release.namespace}`."
        left = hooks_left.delete(self.helm, self.release, hooks, running_only=not cut_off)
        return f"{done} {left}".rstrip(), answer.signals

    def _mark(self, revision: Revision) -> str:
        """The mark of a revision, empty when it has none."""
        # Helm 3 shows labels nowhere else.
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
