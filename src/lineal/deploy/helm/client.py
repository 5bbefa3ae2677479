"""A client of the helm program, 3.18.5 or later and 4: it builds the arguments, runs helm, and reads what it prints.

The client decides nothing: its callers complete a chart's dependencies first (`dependencies`), and undo the revision
that a failed upgrade leaves (`recovery`)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from lineal import process
from lineal.deploy.helm import environment, errors, schemas
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, Interrupted, LinealError
from lineal.text import printable, quoted
from lineal.value import dataclass

OLDEST = (3, 18, 5)
"""The first with the fixes of CVE-2025-53547 (a lock file that is a link runs code) and CVE-2025-55199 (a schema
fills the memory). Lineal keeps charts of the commit from both; charts that helm fetches itself it cannot."""
NEWEST_MAJOR = 4
RUN_LABEL = "lineal-run"
"""The label of every revision that a run of ours makes. It tells our revisions from those of another job."""
BEFORE_CHANGES = ", before anything was changed"
"""For `Answer.or_raise`: the state after a command that only reads."""
_HISTORY = "10"
"""The number of revisions that helm keeps."""
_QUICK = 60.0
"""Seconds for a command that waits for nothing, and for helm to end after a signal."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
_KEPT_LINES = 200
"""Lines of stderr that are kept for the error."""

Output = Callable[[str], None]


def silent(_line: str) -> None: ...


def unchanged(line: str) -> str:
    return line


@dataclass(frozen=True, slots=True)
class Answer(process.Outcome):
    command: str
    """For messages: `helm upgrade`."""
    stdout: str
    stderr: tuple[str, ...]
    """The last lines, masked."""

    def or_raise(self, doing: str, failure: Callable[[Answer], LinealError], *, state: str = "") -> str:
        """The text that helm printed on stdout.

        Raises `Interrupted` when a signal arrived meanwhile (see `Outcome.or_interrupted`), and the error that
        `failure` makes of the answer when helm failed."""
        self.or_interrupted(doing, state)
        if self.code != 0:
            raise failure(self)
        return self.stdout


@dataclass(frozen=True, slots=True)
class Helm:
    """`mask` takes secrets out of every line that helm prints, except manifests, before anything else sees it.
    `environ` is the job's: each command gets its part of it (see `environment`)."""

    path: str
    version: str
    environ: Mapping[str, str] = field(repr=False)
    mask: Callable[[str], str] = field(default=unchanged, repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str], mask: Callable[[str], str] = unchanged) -> Helm:
        """The helm that LINEAL_HELM names, else `helm` on PATH.

        Raises `BadConfiguration` when there is none, or a version that is not supported: a missing tool is a matter
        of set-up, not a service that is down."""
        unknown = cls(_path(environ), "", environ, mask)
        answer = unknown.run(["version", "--template", "{{.Version}}"], limit=_QUICK)
        answer.or_interrupted("The run", BEFORE_CHANGES)
        found = _VERSION.match(answer.stdout.strip())
        if answer.code != 0 or found is None:
            what = f"{quoted(unknown.path)} does not say which helm it is: {printable(' '.join(answer.stderr), 200)}"
            raise BadConfiguration(errors.sentence(what), id="LN-6012", remedy=_REMEDY)
        if not OLDEST <= tuple(map(int, found.groups())) < (NEWEST_MAJOR + 1,):
            what = f"{quoted(unknown.path)} is helm {found[0]}, which is not supported"
            holes = " (older ones have CVE-2025-53547 and CVE-2025-55199)" if int(found[1]) == OLDEST[0] else ""
            raise BadConfiguration(f"{what}{holes}.", id="LN-6012", remedy=_REMEDY)
        return cls(unknown.path, found[0], environ, mask)

    @property
    def major(self) -> int:
        return int(self.version.lstrip("v").partition(".")[0])

    def template(self, release: Release, directory: Path | None = None, output: Output = silent) -> str:
        """Render the chart, which has its dependencies by now, without a cluster.

        Returns the manifests; with `directory`, helm writes a file for each template there instead. `output` gets
        helm's warnings. Raises `DeployFailed`, `BadConfiguration`, `Unreachable`, `Interrupted`."""
        flags = ["--include-crds", *(() if release.hooks else ("--no-hooks",))]
        if directory is not None:
            flags += ["--output-dir", str(directory)]
        if release.kube_version:
            flags += ["--kube-version", release.kube_version]
        flags += [flag for version in release.api_versions for flag in ("--api-versions", version)]
        answer = self.run(["template", *flags, *common_flags(release)], output=output)
        return answer.or_raise("Rendering", self.explains(release))

    def upgrade(
        self, release: Release, mark: str, output: Output, stop: process.Stop = process.never,
        pause: Callable[[], bool] = process.go_on, *, wait: bool = True, create: bool = True,
    ) -> Answer:  # fmt: skip
        """Install or upgrade, and `wait` until helm takes all for ready. What fails stays as it is: see `recovery`.
        `create`: helm makes the namespace, which an account must be allowed to do even where there is one.

        The chart has its dependencies by now. The new revision gets the label RUN_LABEL with the value `mark`.
        `output` gets helm's lines; `stop` says when waiting does not help any more (SIGTERM), or must not go on
        (SIGKILL); as long as `pause` says so, helm is suspended. Call it on the main thread: SIGINT and SIGTERM are
        forwarded to helm; a second one kills it."""
        flags = [*self.upgrade_flags(release, mark, wait=wait), *(["--create-namespace"] if create else [])]
        flags += [*release.context_flags, *common_flags(release)]
        return self.run(["upgrade", *flags], output=output, echo=True, stop=stop, pause=pause, tethered=True)

    def upgrade_failure(self, answer: Answer, release: Release) -> LinealError:
        """The error of an `upgrade` that failed or was interrupted."""
        if not answer.signals:
            return self.explains(release)(answer)
        return Interrupted(f"The deployment of {release} was interrupted by {answer.signals[0].name}.")

    def upgrade_flags(self, release: Release, mark: str, *, wait: bool = True) -> list[str]:
        return [
            *("--install", "--reset-values"),
            *(*(self._wait_flags if wait else ()), *self.apply_flags(release)),
            *("--timeout", f"{round(release.timeout * 1000)}ms", "--history-max", _HISTORY),
            *("--description", release.description, "--labels", f"{RUN_LABEL}={mark}", "--hide-notes"),
            *ownership_flags(release),
        ]

    def rollback_flags(self, release: Release, *, wait: bool) -> list[str]:
        return [*(self._wait_flags if wait else ()), *self.apply_flags(release)]

    def apply_flags(self, release: Release) -> list[str]:
        """How objects are changed. Helm 3 merges on the client, and so does Helm 4 for us: on the server, a field
        that an autoscaler or `kubectl` has touched would stop each later upgrade."""
        if self.major == 3 and release.server_side:
            what = f"`server_side` needs Helm 4, and {quoted(self.path)} is helm {self.version}."
            remedy = "Install Helm 4, or leave out `--server-side`, or `deploy.server_side` of lineal.yaml."
            raise BadConfiguration(what, id="LN-6012", remedy=remedy)
        if self.major == 3:
            return []
        if release.server_side is None:
            return ["--server-side=auto"]
        return ["--server-side=true", "--force-conflicts"] if release.server_side else ["--server-side=false"]

    @property
    def _wait_flags(self) -> list[str]:
        """Helm 4's own way to wait takes a crashing pod of the version before for one of the new one, and a Job that
        its TTL deletes for one that is still to come."""
        return ["--wait"] if self.major == 3 else ["--wait=legacy"]

    def explains(self, release: Release) -> Callable[[Answer], LinealError]:
        """For `Answer.or_raise`: the error for a command about `release` that failed."""
        return lambda answer: errors.explain(answer.stderr, release, self.environ, answer.command)

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
        pause: Callable[[], bool] = process.go_on,
        tethered: bool = False,
    ) -> Answer:
        """Run a command. `output` gets the lines of stderr and, with `echo`, those of stdout, which are then not
        kept.

        Without `echo`, `output` does not get the `Error:` line and those after it: the caller's error tells them. The
        other arguments are those of `process.run`. Raises `BadConfiguration` when helm cannot be started."""
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
                env=environment.of_command(self.environ, args),
                output=take,
                grace=grace,
                shielded=shielded,
                limit=limit,
                stop=stop,
                pause=pause,
                tethered=tethered,
            )
        except OSError as error:
            what = f"{quoted(self.path)} cannot be run: {error.strerror}."
            raise BadConfiguration(what, id="LN-6012", remedy=_REMEDY) from None
        stdout = b"".join(kept).decode("utf-8", "replace")
        return Answer(outcome.code, outcome.signals, f"helm {args[0]}" if args else "helm", stdout, tuple(tail))


IMAGE_TARGET = "LINEAL_IMAGE_TARGET"
"""The variable by which Lineal's own images say what they are: `build` is the one without Helm."""
_REMEDY = "Install Helm 3.18.5 or later, or Helm 4 (https://helm.sh), or set LINEAL_HELM to its path."


def _path(environ: Mapping[str, str]) -> str:
    chosen = environ.get("LINEAL_HELM")
    found = shutil.which(chosen or "helm", path=environ.get("PATH", ""))
    if found is None:
        if not chosen and environ.get(IMAGE_TARGET) == "build":
            raise BadConfiguration(
                "This image of Lineal is the one for builds, and has no helm.",
                id="LN-6012",
                remedy="Use the one with Helm: `your_org/lineal@v1`, not `your_org/lineal/build@v1`; "
                "the tag without `-build`.",
            )
        what = (
            "There is no helm on PATH." if not chosen else f"LINEAL_HELM names {quoted(chosen)}, which is no program."
        )
        raise BadConfiguration(what, id="LN-6012", remedy=_REMEDY)
    return found


def ownership_flags(release: Release) -> list[str]:
    return ["--take-ownership"] if release.take_ownership else []


def common_flags(release: Release) -> list[str]:
    """The flags of both `template` and `upgrade`, so that the rendered manifests are those that are deployed. Raises
    `BadConfiguration` for a chart whose schema leads helm elsewhere."""
    flags = ["--namespace", release.namespace]
    for values in release.values:
        flags += ["--values", _as_csv(str(values.path))]
    for expression in release.sets:
        flags += ["--set", expression]
    if release.plain_http:
        flags.append("--plain-http")
    if release.skip_schema:
        flags.append("--skip-schema-validation")
    else:
        schemas.check(release.chart)
    return [*flags, "--", release.name, release.chart.location]


def _as_csv(path: str) -> str:
    """Helm reads `--values` as a line of CSV."""
    doubled = path.replace('"', '""')
    return f'"{doubled}"' if re.search(r'[",\n]', path) else path
