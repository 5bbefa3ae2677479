"""What is deployed: the commit's chart and values with the references of its images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.commands.reporting import image_values
from lineal.config.setting import DEFAULT, Setting
from lineal.deploy.release import seconds
from lineal.errors import BadConfiguration, DeployFailed, Location, Uncommitted
from lineal.session.session import Session
from lineal.stages.plan import BuildPlan

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.release import Chart, Release
    from lineal.deploy.values import ImageValue, ValuesText
    from lineal.report.model import ReleaseReport


class ReleaseInputs:
    """A run's release. Made before anything is built, so that a wrong name or file does not cost a build."""

    def __init__(self, run: Session, *, bundled: bool = False) -> None:
        """`bundled`: for a bundle, which has no release yet and is the same on every branch."""
        self.run = run
        self.bundled = bundled
        self.deploy = run.loaded.deploy(("release", "namespace") if bundled else ())
        options, loaded = run.options, run.loaded
        nameless = Setting("bundle", DEFAULT) if bundled else None
        self.name = nameless or options.text("release", loaded.setting("deploy.release"), self.deploy.release)
        self.namespace = nameless or options.text(
            "namespace", loaded.setting("deploy.namespace"), self.deploy.namespace
        )
        self.kube_context = options.text("kube-context")
        self.timeout = options.text("timeout", loaded.setting("deploy.timeout"), self.deploy.timeout)
        self.seconds = seconds_of(self.timeout)

    @property
    def folders(self) -> list[str]:
        """Directories of the commit that the release is made of."""
        return [] if "://" in self.deploy.chart else [self.deploy.chart]

    @property
    def files(self) -> list[str]:
        extra = (self._in_repository(Path(path)) for path in self.run.options.many("values"))
        return [*self.deploy.values, *(path for path in extra if path is not None)]

    @cached_property
    def helm(self) -> Helm:
        from lineal.deploy.helm.client import Helm

        return Helm.find(self.run.options.environ, self.run.secrets.mask)

    def release(self, outlook: BuildPlan, *, planned: bool = False) -> Release:
        """The release with everything that helm needs on disk, in the run's private directory. `planned`: images that
        are not built yet stand there without their digest."""
        from lineal.config.template import names
        from lineal.deploy.release import Release
        from lineal.deploy.values import global_values, template_names, write

        run = self.run
        images = self._planned(outlook) if planned else self._images(outlook)
        project, commit = run.loaded.project.project, run.checkout.commit
        common = names(
            git=run.git_facts, env=run.env.value or None, vars=run.options.variables(), environ=run.options.environ,
            giterminism=run.giterminism,
        )  # fmt: skip
        values = write(
            run.workspace / "values",
            self._opened(),
            template_names(common, project, images),
            global_values(
                project, run.env.value or None, commit, None if self.bundled else run.context.branch, images
            ),
        )
        return Release(
            name=self.name.value,
            namespace=self.namespace.value,
            chart=self._chart,
            values=values,
            sets=tuple(run.options.many("set")),
            kube_context=self.kube_context.value or None,
            kube_version=run.options.text("kube-version").value or None,
            timeout=self.seconds,
            description=f"{project} {commit[:12]}",
            plain_http=self.plain_http,
        )

    def _planned(self, outlook: BuildPlan) -> Mapping[str, ImageValue]:
        from lineal.deploy.diff.preview import UNKNOWN
        from lineal.deploy.values import ImageValue

        known = image_values(self.run, outlook)
        return {
            name: known.get(name) or ImageValue.of(self.run.store.address, f"{stage.checksum}-{0:013}", UNKNOWN)
            for name, stage in outlook.images.items()
        }

    def _images(self, outlook: BuildPlan) -> Mapping[str, ImageValue]:
        images = image_values(self.run, outlook)
        missing = [name for name in outlook.images if name not in images]
        if missing:
            stage = outlook.images[missing[0]]
            reason = outlook.findings[stage.checksum].reason
            raise DeployFailed(
                f"{'Images are' if len(missing) > 1 else 'An image is'} missing for this commit: "
                f"{', '.join(missing)} ({reason}).",
                remedy="Run `lineal build` first, or `lineal converge`, which does both.",
            )
        return images

    @property
    def plain_http(self) -> bool:
        """Whether the chart's registry, or that of its dependencies, speaks http only."""
        from lineal.deploy.helm.dependencies import hosts

        if self.folders:
            return not hosts(self._chart).isdisjoint(self.run.insecure)
        return self.deploy.chart.removeprefix("oci://").partition("/")[0] in self.run.insecure

    def check(self) -> None:
        """Raises `BadConfiguration` or `Uncommitted` when the chart or a values file is missing: before a build."""
        from lineal.deploy.sops import Sops, is_encrypted, split

        _ = self._chart
        files, run = self._values(), self.run
        sealed = split(files)[1] if self.bundled else [file for file in files if is_encrypted(file)]
        if sealed and not self.bundled:
            Sops.find(run.options.environ, run.secrets, run.workspace, sealed[0].name)

    @cached_property
    def _chart(self) -> Chart:
        """The chart, a directory of the commit written to the run's private one."""
        from lineal.context.checkout import check_out
        from lineal.deploy.release import Chart

        written = self.deploy.chart
        if written.startswith("https://"):
            return self._fetched()
        if "://" in written:
            chart = Chart.registry(written)
            return self._fetched() if self.bundled else chart
        folder = self.run.workspace / "chart" / (Path(written).name or "root")
        folder.parent.mkdir(exist_ok=True)
        repository = self.run.repository
        if check_out(repository, written, folder):
            return Chart.directory(folder, written)
        is_file = repository.file(written) is not None
        there = not is_file and (repository.root / written).is_dir()
        why = (
            "is not committed"
            if there
            else "is a file, not a directory"
            if is_file
            else "does not exist in the commit"
        )
        raise (Uncommitted if there else BadConfiguration)(
            f"The chart {written} {why}.",
            place=self.run.loaded.place("deploy.chart"),
            remedy="Run `git add` and `git commit` first." if there else "Correct the path.",
        )

    def _fetched(self) -> Chart:
        from lineal.deploy.helm.chart_fetch import fetch, unpacked

        fetching = self.run.workspace / "fetched"
        note = self.run.progress.note
        chart = fetch(self.helm, self.deploy.chart, fetching, note, plain_http=self.plain_http)
        return unpacked(chart, self.run.workspace / "chart" / "fetched") if self.bundled else chart

    @property
    def sealed(self) -> list[ValuesText]:
        """The encrypted values files, which a bundle carries as they are."""
        from lineal.deploy.sops import split

        return split(self._values())[1]

    def _opened(self) -> list[ValuesText]:
        from lineal.deploy.sops import decrypted, is_encrypted, split

        run, files = self.run, self._values()
        if self.bundled:
            return split(files)[0]
        if not run.context.may_write:
            from lineal.deploy import sops_policy

            sops_policy.check(filter(is_encrypted, files), run.options.environ)
        return decrypted(files, run.options.environ, run.secrets, run.workspace / "sealed")

    def _values(self) -> list[ValuesText]:
        from lineal.deploy.values import ValuesText

        found = [ValuesText(path, self._committed(path, f"deploy.values[{number}]"))
                 for number, path in enumerate(self.deploy.values)]  # fmt: skip
        for given in self.run.options.many("values"):
            inside = self._in_repository(Path(given))
            text = self._committed(inside, None) if inside is not None else read_values(self.run.start / given)
            found.append(ValuesText(inside or given, text))
        return found

    def _committed(self, path: str, key: str | None) -> str:
        data = self.run.repository.file(path)
        if data is None and (self.run.repository.root / path).is_file():
            raise Uncommitted(
                f"The values file {path} is not committed.", remedy="Run `git add` and `git commit` first."
            )
        if data is None:
            place = self.run.loaded.place(key) if key else None
            raise BadConfiguration(f"There is no values file {path} in the commit.", place=place,
                                   remedy="Correct the path, or commit the file.")  # fmt: skip
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadConfiguration("is not UTF-8 text.", place=Location(path), remedy="Save it as UTF-8.") from None

    def _in_repository(self, path: Path) -> str | None:
        """A path of the command line as one of the commit; None when it is outside of the repository."""
        absolute = Path(os.path.normpath(self.run.start / path))
        root = self.run.repository.root
        return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else None


def roll_out(run: Session, helm: Helm, release: Release, done: Callable[[ReleaseReport], None]) -> None:
    """Install or upgrade; `done` is told what the release came to, also when this raises."""
    from lineal.deploy.upgrade import Upgrade

    run.progress.note(f"Deploying {release} with helm {helm.version}.")
    upgrade = Upgrade(helm, release, run.progress.note, run.progress.warn, run.stopped)
    done(upgrade.report)
    upgrade.run(run.options.flag("skip-unchanged", default=True).value)


def read_values(path: Path) -> str:
    """A values file outside of any commit. Raises `BadConfiguration`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfiguration(
            f"The values file {path} cannot be read: {reason}.", remedy="Correct --values."
        ) from None


def seconds_of(setting: Setting[str]) -> float:
    """Raises `BadConfiguration` for what is no duration."""
    try:
        return seconds(setting.value)
    except BadConfiguration:
        what = f"{setting.value!r} ({setting.origin}) is not a duration."
        raise BadConfiguration(what, remedy="Write it as 10m or 1h30m.") from None
