"""The removal of a release from the cluster, with its namespace if asked (`lineal dismiss`)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineal.deploy.helm import errors, manifests, refusals
from lineal.deploy.helm.client import Answer, Helm
from lineal.deploy.left_behind import LeftBehind
from lineal.deploy.named_release import NamedRelease
from lineal.deploy.release import Release
from lineal.deploy.release_lock import ReleaseHold, ReleaseLock
from lineal.errors import BadConfiguration, DeployFailed, LinealError, Unreachable
from lineal.kube.client import KubeClient, KubeRefused
from lineal.kube.login import KubeUnavailable
from lineal.report.model import ReleaseReport

if TYPE_CHECKING:
    from lineal.session.session import Session

_ITS_OWN = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces of the cluster itself, which no review app owns."""
_QUICK = 60.0
_NONE = "release: not found"


@dataclass(frozen=True, slots=True)
class Dismissal:
    session: Session
    helm: Helm
    release: Release
    project: str | None
    report: ReleaseReport
    """The state of the release, right at any time, also after a failure."""

    @classmethod
    def of(cls, session: Session) -> Dismissal:
        """The release that `--release` and `--namespace` name, see `NamedRelease`."""
        named = NamedRelease.of(session, "it removes no release")
        name, namespace = named.release.name, named.release.namespace
        report = ReleaseReport(name=name, namespace=namespace, status="unknown")
        return cls(session, named.helm, named.release, named.project, report)

    def carry_out(self, with_namespace: bool, delete_kept: bool = False) -> None:
        """Uninstall the release, unless there is none. `delete_kept`: the namespace is deleted although there are
        objects in it that the chart wants kept. Raises `DeployFailed`, `BadConfiguration`, `Unreachable`,
        `Interrupted`."""
        start = time.monotonic()
        try:
            self._carry_out(with_namespace, delete_kept)
        finally:
            self.report.duration = time.monotonic() - start

    def _carry_out(self, with_namespace: bool, delete_kept: bool) -> None:
        if with_namespace:
            self._check_namespace()
        found = self._look("not deployed")
        left = LeftBehind.of(self.helm, self.release, found)
        if with_namespace and not delete_kept:
            left.check()
        if self.report.status == "not deployed":
            self._tell(f"There is no {self.release}, so nothing is uninstalled.")
        else:
            with self._locked() as hold:
                try:
                    self._uninstall(hold, left)
                finally:
                    self._look_again()
        if not with_namespace:
            for sentence in left.sentences():
                self._tell(sentence)
            return
        namespace = self.release.namespace
        if self._delete_namespace():
            self._tell(f"The namespace {namespace} is being deleted, with all that is in it.")
        else:
            self._tell(f"There is no namespace {namespace}, so none is deleted.")

    def _look(self, none: str) -> manifests.ReleaseManifests | None:
        found = manifests.deployed(self.helm, self.release)
        self.report.status, self.report.revision = (none, None) if found is None else (found.status, found.number)
        return found

    def _look_again(self) -> None:
        try:
            self._look("uninstalled")
        except LinealError:
            self.report.status = "unknown"

    def _tell(self, sentence: str) -> None:
        """Put a sentence into the log and, in the same words, into the report."""
        self.session.progress.note(sentence)
        self.report.told.append(sentence)

    def _uninstall(self, hold: ReleaseHold, left: LeftBehind) -> None:
        """Helm forgets a release although objects of it are still there: its history is kept until they are gone."""
        start = time.monotonic()
        release, found = self.release, left.found
        if found is None or found.status != "uninstalled":
            flags = ["--keep-history", "--wait", "--timeout", f"{round(release.timeout * 1000)}ms"]
            answer = self._helm(flags, release.timeout + _QUICK, hold)
            if answer.code != 0 and not any(_NONE in line for line in answer.stderr):
                raise self._failed(answer.stderr, left)
        elif left.there:
            raise self._not_gone("an earlier run has uninstalled it", left)
        answer = self._helm([], _QUICK, hold)
        if answer.code != 0 and not any(_NONE in line for line in answer.stderr):
            raise self._failed(answer.stderr, left)
        self.session.progress.note(
            f"{str(release).capitalize()} was uninstalled in {time.monotonic() - start:.1f} s."
        )

    def _helm(self, flags: Sequence[str], limit: float, hold: ReleaseHold) -> Answer:
        release = self.release
        command = ["uninstall", *flags, *release.place_flags, "--", release.name]
        note = self.session.progress.note
        answer = self.helm.run(command, output=note, grace=_QUICK, limit=limit, pause=hold.doubtful)
        answer.or_interrupted(f"Uninstalling {release}", "; what is left of it may remain", remedy="Run it again.")
        return answer

    def _failed(self, stderr: Sequence[str], left: LeftBehind) -> LinealError:
        reason = errors.reason_of(stderr)
        if re.search(errors.TIMED_OUT, reason):
            return self._not_gone(reason.rstrip(". "), left)
        if left.unserved is not None:
            return refusals.removed(*left.unserved, self.release)
        return errors.explain(stderr, self.release, self.helm.environ, "helm uninstall")

    def _not_gone(self, why: str, left: LeftBehind) -> DeployFailed:
        release = self.release
        what = f"{str(release).capitalize()} was not gone within {release.timeout:g} s ({why})."
        if left.there:
            what = f"{what} Still there: {', '.join(left.there)}."
        remedy = f"See `kubectl -n {release.namespace} get jobs,pods,events`, and finalizers; or raise `--timeout`."
        return DeployFailed(what, id="LN-6042", remedy=remedy)

    @contextmanager
    def _locked(self) -> Iterator[ReleaseHold]:
        """Wait until no deploy of the release goes on, and let none begin."""
        environ, release, session = self.helm.environ, self.release, self.session
        try:
            KubeClient.of_helm(environ, release.kube_context)
        except KubeUnavailable:
            yield ReleaseHold.none()
            return
        with ReleaseLock(release, session.holder, environ, session.notes).hold_release() as hold:
            yield hold

    # --- the namespace ------------------------------------------------------------------------------------------

    def _check_namespace(self) -> None:
        """Raises before anything is removed when the namespace must stay."""
        namespace = self.release.namespace
        if namespace in _ITS_OWN:
            what = f"The namespace {namespace} is the cluster's own, so it is not deleted."
            raise BadConfiguration(what, id="LN-6043", remedy="Leave --with-namespace out.")
        where = self.release.place_flags
        answer = self.helm.run(
            ["list", "--max", "0", "--output", "json", *_ALL[self.helm.major], *where], limit=_QUICK
        )
        if answer.code != 0:
            raise errors.explain(answer.stderr, self.release, self.helm.environ, "helm list")
        try:
            found = sorted({str(entry["name"]) for entry in json.loads(answer.stdout or "[]")} - {self.release.name})
        except (ValueError, KeyError, TypeError):
            what = "helm list printed nothing that can be read."
            raise DeployFailed(what, id="LN-6013", remedy="Use Helm 3.18.5 or later, or 4.") from None
        if found:
            what = f"The namespace {namespace} has other releases in it: {', '.join(found[:5])}."
            raise DeployFailed(what, id="LN-6045", remedy="Leave --with-namespace out, or dismiss them first.")

    def _delete_namespace(self) -> bool:
        namespace = self.release.namespace
        try:
            return KubeClient.of_helm(self.helm.environ, self.release.kube_context).delete(
                f"/api/v1/namespaces/{namespace}"
            )
        except (KubeUnavailable, KubeRefused) as error:
            what = f"The namespace {namespace} could not be deleted: {error}."
            raise Unreachable(
                what, id="LN-6044", remedy=f"Run `kubectl delete namespace {namespace}`, or allow it."
            ) from None


_ALL = {3: ["--all"], 4: []}
"""Helm 4 lists releases in any state without being asked."""
