"""The helm program, 3.17 or later and 4 alike: `helm template` and `helm upgrade --install`."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lineal import process
from lineal.deploy.helm import dependencies, errors, recovery
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, Interrupted, LinealError
from lineal.text import printable, quoted

OLDEST = (3, 17)
NEWEST_MAJOR = 4
_HISTORY = "10"
_QUICK = 60.0
"""Seconds for a command that waits for nothing, and for helm to end after a signal."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")
_KEPT_LINES = 200

Output = Callable[[str], None]


def silent(_line: str) -> None: ...


def unchanged(line: str) -> str:
    return line


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    stdout: str
    stderr: tuple[str, ...]
    """Its last lines."""
    signals: tuple[signal.Signals, ...]


@dataclass(frozen=True, slots=True)
class Helm:
    """`mask` takes secrets out of every line that helm prints, before anything else sees it (manifests excepted)."""

    path: str
    version: str
    environ: Mapping[str, str] = field(repr=False)
    mask: Callable[[str], str] = field(default=unchanged, repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str], mask: Callable[[str], str] = unchanged) -> Helm:
        """LINEAL_HELM, else `helm` of PATH.

        Raises `BadConfiguration` when there is none that we know: a missing tool is a matter of set-up, not a
        service that is down."""
        # With HELM_DEBUG, helm prints all values.
        kept = {name: value for name, value in environ.items() if name != "HELM_DEBUG"}
        unknown = cls(_path(environ), "", kept, mask)
        answer = unknown.run(["version", "--template", "{{.Version}}"], limit=_QUICK)
        if answer.signals:
            raise Interrupted(f"Interrupted by {answer.signals[0].name} before anything was deployed.")
        found = _VERSION.match(answer.stdout.strip())
        if answer.code != 0 or found is None:
            what = f"{quoted(unknown.path)} does not say which helm it is: {printable(' '.join(answer.stderr), 200)}"
            raise BadConfiguration(errors.sentence(what), remedy=_REMEDY)
        if (int(found[1]), int(found[2])) < OLDEST or int(found[1]) > NEWEST_MAJOR:
            raise BadConfiguration(
                f"{quoted(unknown.path)} is helm {found[0]}, which is not supported.", remedy=_REMEDY
            )
        return cls(unknown.path, found[0], kept, mask)

    @property
    def major(self) -> int:
        return int(self.version.lstrip("v").partition(".")[0])

    def template(self, release: Release, directory: Path | None = None, output: Output = silent) -> str:
        """The manifests; or, with `directory`, nothing but a file in it for each template. Asks no cluster.

        `output` gets helm's warnings. Raises `DeployFailed`, `BadConfiguration`, `Unreachable`, `Interrupted`."""
        dependencies.complete(self, release, output)
        flags = ["--include-crds"]
        if directory is not None:
            flags += ["--output-dir", str(directory)]
        if release.kube_version:
            flags += ["--kube-version", release.kube_version]
        answer = self.run(["template", *flags, *common_flags(release)], output=output)
        if answer.signals:
            raise Interrupted(f"Rendering was interrupted by {answer.signals[0].name}.")
        if answer.code != 0:
            raise errors.explain(answer.stderr, release, self.environ, "helm template")
        return answer.stdout

    def upgrade(self, release: Release, output: Output, stop: process.Stop = process.never) -> None:
        """Install or upgrade, wait until all is ready, roll back when it fails. `output` gets helm's lines; `stop`
        says when waiting does not help any more (SIGTERM), or must not go on (SIGKILL).

        The chart has its dependencies by now. Call it on the main thread: SIGINT and SIGTERM are forwarded to helm,
        which then rolls back, and end in `Interrupted`; a second one kills it. Whatever happens, no revision of ours
        is left unfinished as long as the cluster can be reached. Raises `DeployFailed`, `BadConfiguration`,
        `Unreachable`."""
        mark = secrets.token_hex(8)
        flags = [*self.upgrade_flags(release, mark), *release.context_flags, *common_flags(release)]
        # Rolling back waits for readiness once more.
        grace = release.timeout + _QUICK
        answer = self.run(["upgrade", *flags], output=output, grace=grace, echo=True, stop=stop, tethered=True)
        if answer.code == 0 and not answer.signals:
            return
        error = self.failure(answer, release)
        if stop() is signal.SIGKILL:
            raise error  # another run may have begun: nothing is put in order beside it
        if answer.signals or not _began_nothing(answer, error):
            _append(error, recovery.undo_own(self, release, mark))
        raise error

    def failure(self, answer: Answer, release: Release) -> LinealError:
        if not answer.signals:
            return errors.explain(answer.stderr, release, self.environ, "helm upgrade")
        name = answer.signals[0].name
        if answer.code == 0:
            return Interrupted(f"Interrupted by {name}, just when {release} was done.")
        undone = errors.undone_by_helm(answer.stderr)
        return Interrupted(f"The deployment of {release} was interrupted by {name}. {undone}".rstrip())

    def upgrade_flags(self, release: Release, mark: str) -> list[str]:
        rollback = ["--atomic", "--wait"] if self.major == 3 else ["--rollback-on-failure", "--wait=watcher"]
        return [
            *("--install", "--create-namespace", "--reset-values", *rollback),
            *("--timeout", f"{round(release.timeout * 1000)}ms", "--history-max", _HISTORY),
            *("--description", release.description, "--labels", f"{recovery.LABEL}={mark}"),
        ]

    def run(
        self,
        args: Sequence[str],
        *,
        output: Output = silent,
        grace: float = _QUICK,
        shielded: bool = False,
        limit: float | None = None,
        echo: bool = False,
        stop: process.Stop = process.never,
        tethered: bool = False,
    ) -> Answer:
        """`output` gets the lines of stderr and, with `echo`, those of stdout, which are then not kept.

        Without `echo`, the `Error:` line and what follows it are left to the error that the caller raises."""
        kept: list[bytes] = []
        tail: list[str] = []

        def take(stream: process.Stream, line: bytes) -> None:
            if stream == "stdout" and not echo:
                kept.append(line)
                return
            text = self.mask(line.decode("utf-8", "replace").rstrip("\r\n"))
            if stream == "stderr":
                tail.append(text)
                del tail[:-_KEPT_LINES]
            if echo or not any(said.startswith("Error: ") for said in tail):
                output(text)

        try:
            outcome = process.run(
                [self.path, *args],
                env=self.environ,
                output=take,
                grace=grace,
                shielded=shielded,
                limit=limit,
                stop=stop,
                tethered=tethered,
            )
        except OSError as error:
            what = f"{quoted(self.path)} cannot be run: {error.strerror}."
            raise BadConfiguration(what, remedy=_REMEDY) from None
        stdout = b"".join(kept).decode("utf-8", "replace")
        return Answer(outcome.code, stdout, tuple(tail), outcome.signals)


def _began_nothing(answer: Answer, error: LinealError) -> bool:
    """Asking a cluster again that could not be reached would take its time-out once more."""
    return isinstance(error, BadConfiguration) or any("cluster unreachable" in line for line in answer.stderr)


def _append(error: LinealError, more: str) -> None:
    if more:
        error.message = f"{error.message} {more}"


_REMEDY = "Install Helm 3.17 or later, or Helm 4 (https://helm.sh), or set LINEAL_HELM to its path."


def _path(environ: Mapping[str, str]) -> str:
    chosen = environ.get("LINEAL_HELM")
    found = shutil.which(chosen or "helm", path=environ.get("PATH", ""))
    if found is None:
        what = (
            "There is no helm on PATH." if not chosen else f"LINEAL_HELM names {quoted(chosen)}, which is no program."
        )
        raise BadConfiguration(what, remedy=_REMEDY)
    return found


def common_flags(release: Release) -> list[str]:
    """The same for `template` and `upgrade`, so that what is rendered is what is deployed."""
    flags = ["--namespace", release.namespace]
    for values in release.values:
        flags += ["--values", _as_csv(str(values.path))]
    for expression in release.sets:
        flags += ["--set", expression]
    if release.plain_http:
        flags.append("--plain-http")
    return [*flags, "--", release.name, release.chart.location]


def _as_csv(path: str) -> str:
    """Helm reads `--values` as a line of CSV."""
    doubled = path.replace('"', '""')
    return f'"{doubled}"' if re.search(r'[",\n]', path) else path
