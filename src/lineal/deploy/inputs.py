"""The inputs of a release: the commit's chart and values with the references of its images."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from lineal.config.setting import Setting
from lineal.context.committed import absent
from lineal.deploy.commit_files import in_repository, text_of_commit
from lineal.deploy.commit_images import bases, names_of, not_built, published
from lineal.deploy.release import seconds
from lineal.errors import BadConfiguration, LinealError
from lineal.session.session import Session
from lineal.session.settings import ReleaseSettings

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.config.model import Deploy
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.plain_source import PlainSource
    from lineal.deploy.release import Chart, Release
    from lineal.deploy.values import ValuesText


_MOST_CHARTS = 100
"""Charts of the commit that one chart may need."""


class CommitInputs(Protocol):
    """What a command reads of the commit beside the images."""

    @property
    def folders(self) -> list[str]: ...
    @property
    def files(self) -> list[str]: ...
    def check(self) -> None:
        """Raises `BadConfiguration` and `Uncommitted` for what is missing: before a build."""


class ReleaseInputs:
    """A run's release. Made before anything is built, so that a wrong name or file does not cost a build."""

    def __init__(self, session: Session, *, bundled: bool = False) -> None:
        """`bundled`: for a bundle, which has no release yet and is the same on every branch."""
        self.session = session
        self.bundled = bundled
        self.deploy = session.loaded.deploy(("release", "namespace") if bundled else ())
        self.settings = ReleaseSettings.of(session.settings, None if bundled else session.loaded, self.deploy)
        self.seconds = seconds_of(self.settings.timeout)
        _refuse(session, self.deploy)

    @cached_property
    def plain(self) -> PlainSource:
        """What stands in place of a chart."""
        from lineal.deploy.plain_source import PlainSource

        return PlainSource(self.session, self.deploy)

    @cached_property
    def folders(self) -> list[str]:
        """Directories and files of the commit that the release is made of: the chart, and charts that it needs
        (`file://`), or what stands in place of one."""
        from lineal.deploy.helm.dependencies import entries_of, local_path

        if not self.deploy.chart:
            return self.plain.paths
        found = [] if "://" in self.deploy.chart else [self.deploy.chart]
        for folder in found:
            for file in ("Chart.yaml", "requirements.yaml"):
                entries = entries_of(self.session.repository.file(posixpath.normpath(f"{folder}/{file}")) or b"")
                paths = (posixpath.normpath(f"{folder}/{path}") for path in map(local_path, entries) if path)
                # What leads out of the commit is refused later, with its place.
                inside = (path for path in paths if path.partition("/")[0] not in ("", ".."))
                found += [path for path in dict.fromkeys(inside) if path not in found][: _MOST_CHARTS - len(found)]
        return found

    @property
    def files(self) -> list[str]:
        extra = (in_repository(self.session, path) for path in self.session.settings.values.value)
        return [*self.deploy.values, *(path for path in extra if path is not None)]

    def prepare(self) -> None:
        """Begin what a deploy needs later and takes a while, beside the plan of what is to be built."""
        Thread(target=self._prepare, name="prepare", daemon=True).start()

    def _prepare(self) -> None:
        from lineal.kube.login import preload

        with suppress(LinealError, ImportError):  # raised again where they are needed
            _ = self.helm
            preload()

    @cached_property
    def helm(self) -> Helm:
        from lineal.deploy.helm.client import Helm

        return Helm.find(self.session.settings.environ, self.session.secrets.mask)

    def release(self, result: BuildResult, *, planned: bool = False) -> Release:
        """The release with everything that helm needs on disk, in the run's private directory. `planned`: images that
        are not built yet stand there without their digest."""
        from lineal.deploy.release import Release
        from lineal.deploy.values import global_values, write

        session, settings = self.session, self.session.settings
        images = not_built(result) if planned else published(result)
        project, commit = session.loaded.project.project, session.checkout.commit
        env = settings.env.value or None
        known = names_of(session, images)
        wanted = self.deploy.global_ if self.deploy.chart else False
        values = write(
            session.workspace / "values",
            self._decrypted(),
            known,
            global_values(project, env, commit, None if self.bundled else session.context.branch, images, wanted),
        )
        return Release(
            name="bundle" if self.bundled else self.settings.name.value,
            namespace="bundle" if self.bundled else self.settings.namespace.value,
            chart=self._chart
            if self.deploy.chart
            else self.plain.chart(known, images, self.settings.namespace.value),
            values=values,
            sets=settings.sets.value,
            images={name: image.ref for name, image in images.items() if name not in bases(self.session)},
            kube_context=settings.kube_context.value or None,
            kube_version=settings.kube_version.value or None,
            api_versions=settings.api_versions.value,
            skip_schema=settings.skip_schema_validation.value,
            take_ownership=settings.take_ownership.value,
            timeout=self.seconds,
            description=f"{project} {commit[:12]}",
            plain_http=self.plain_http,
            server_side=settings.server_side.value or self.deploy.server_side or self._applies,
        )

    @property
    def _applies(self) -> bool:
        """Whether the API server applies the manifests without being asked to: what people write themselves, as
        `kubectl apply --server-side` would, where helm can."""
        return not self.deploy.chart and self.helm.major > 3

    @property
    def plain_http(self) -> bool:
        """Whether the chart's registry, or that of its dependencies, speaks http only."""
        from lineal.deploy.helm.dependencies import hosts

        insecure = self.session.settings.insecure_registries.value
        if not self.deploy.chart:
            return False
        if self.folders:
            return not hosts(self._chart).isdisjoint(insecure)
        return self.deploy.chart.removeprefix("oci://").partition("/")[0] in insecure

    def check(self) -> None:
        """Raises `BadConfiguration` or `Uncommitted` when the chart or a values file is missing: before a build."""
        from lineal.deploy.sops import Sops, is_encrypted, split

        if not self.deploy.chart:
            self.plain.check()
            return
        _ = self._chart
        files, session = self._values(), self.session
        if self.bundled:
            split(files)
            return
        encrypted = [file for file in files if is_encrypted(file)]
        if encrypted:
            Sops.find(session.settings.environ, session.secrets, session.workspace, encrypted[0].name)

    @cached_property
    def _chart(self) -> Chart:
        """The chart, a directory of the commit written to the run's private one."""
        from lineal.context.checkout import check_out
        from lineal.deploy.release import Chart

        written = self.deploy.chart
        if written.startswith("https://"):
            return self._fetched()
        if "://" in written:
            Chart.registry(written)
            return self._fetched()
        # Where they are in the commit, so that charts find each other.
        root = self.session.workspace / "chart" / "root"
        folder, repository = root / written, self.session.repository
        folder.parent.mkdir(parents=True, exist_ok=True)
        if check_out(repository, written, folder):
            for other in self.folders[1:]:
                (root / other).parent.mkdir(parents=True, exist_ok=True)
                if not (root / other).exists():
                    check_out(repository, other, root / other)
            return Chart.directory(folder, written, root)
        named, place, remedy = f"The chart {written}", self.session.loaded.place("deploy.chart"), "Correct the path."
        if repository.file(written) is not None:
            raise BadConfiguration(f"{named} is a file, not a directory.", id="LN-6008", place=place, remedy=remedy)
        raise absent(repository, written, named, place=place, remedy=remedy, folder=True)

    def _fetched(self) -> Chart:
        from lineal.deploy.helm.chart_fetch import fetch, unpacked

        fetching = self.session.workspace / "fetched"
        note = self.session.progress.note
        chart = fetch(self.helm, self.deploy.chart, fetching, note, plain_http=self.plain_http)
        return unpacked(chart, self.session.workspace / "chart" / "fetched") if self.bundled else chart

    @property
    def encrypted(self) -> list[ValuesText]:
        """The encrypted values files, which a bundle carries as they are."""
        from lineal.deploy.sops import split

        return split(self._values())[1]

    def _decrypted(self) -> list[ValuesText]:
        from lineal.deploy.sops import decrypted, is_encrypted, split

        session, files = self.session, self._values()
        environ = session.settings.environ
        if self.bundled:
            return split(files)[0]
        if not session.context.trusted:
            from lineal.deploy import sops_policy

            sops_policy.check(filter(is_encrypted, files), environ)
        if any(map(is_encrypted, files)):
            session.holds_secrets()
        return decrypted(files, environ, session.secrets, session.workspace / "decrypted")

    def _values(self) -> list[ValuesText]:
        from lineal.deploy.values import ValuesText

        session, named = self.session, "values file"
        found = [ValuesText(path, text_of_commit(session, path, named, f"deploy.values[{number}]"))
                 for number, path in enumerate(self.deploy.values)]  # fmt: skip
        for given in session.settings.values.value:
            path = in_repository(session, given)
            text = read_values(session.start / given) if path is None else text_of_commit(session, path, named)
            found.append(ValuesText(path or given, text))
        return found


def _refuse(session: Session, deploy: Deploy) -> None:
    """Raises `BadConfiguration` for what this release has no use for."""
    if deploy.templates:
        what = "`deploy.templates` are rendered, and Lineal deploys none of them."
        remedy = "Run `lineal render`, and give the result to what deploys it; for Kubernetes write `manifests`."
        raise BadConfiguration(what, id="LN-6072", place=session.loaded.place("deploy.templates"), remedy=remedy)
    for option, setting in (("values", session.settings.values), ("set", session.settings.sets)):
        if setting.value and not deploy.chart:
            what = f"--{option} ({setting.origin}) is for a chart, and this project has none."
            raise BadConfiguration(what, id="LN-1016", remedy="Leave it out; `--var` is for templates.")


def read_values(path: Path) -> str:
    """A values file outside of any commit. Raises `BadConfiguration`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfiguration(
            f"The values file {path} cannot be read: {reason}.", id="LN-6003", remedy="Correct --values."
        ) from None


def seconds_of(setting: Setting[str]) -> float:
    """A duration in seconds. Raises `BadConfiguration` when it is none."""
    try:
        return seconds(setting.value)
    except BadConfiguration:
        what = f"{setting.value!r} ({setting.origin}) is not a duration."
        raise BadConfiguration(what, id="LN-6005", remedy="Write it as 10m or 1h30m.") from None
