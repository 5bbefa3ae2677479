"""`lineal bundle publish`: the commit's chart, its values and its images' digests become one bundle in a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.deploy.bundle.bundle import ENCRYPTED, Bundle, check_version, default_version, written
from lineal.deploy.helm.chart_archive import unpack
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci import Store
from lineal.oci.reference import DOCKER_HUB, parse_address
from lineal.session.session import require_write
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.deploy.release import Chart
    from lineal.session.session import Session

NAME = "bundle"
"""The repository of bundles below that of the images."""


def check(session: Session) -> None:
    """Raises for a run that cannot publish a bundle, before it has done anything."""
    version = session.settings.bundle_version.value
    if version:
        check_version(version)
    if session.settings.dev.value:
        what = "A bundle is of a commit, and --dev is about the working tree."
        raise BadConfiguration(what, id="LN-7002", remedy="Commit, and leave --dev out.")
    repo = session.store_settings.repo.value
    if is_directory(repo):
        what = f"The images are in {repo}, where no cluster finds them, so a bundle of them is of no use."
        raise BadConfiguration(what, id="LN-7002", remedy="Give a registry with `--repo HOST/REPOSITORY`.")
    require_write(session, "it publishes no bundle", "Publish from a branch of the project itself.")
    _ = repository_of(session)


def repository_of(session: Session) -> Store:
    """The repository of this run's bundles: `--to`, else `<store>/bundle`."""
    named = session.settings.bundle_repo.value.removeprefix("oci://")
    if named:
        parse_address(named)
        return session.stores.image(named, session.store)[0]
    return beside(session.store)


def beside(store: Store) -> Store:
    """The repository of bundles that belongs to a store."""
    host, repository = parse_address(store.address)
    if host == DOCKER_HUB:
        what = "Docker Hub has no repositories below another, so the bundle cannot be beside the images."
        raise BadConfiguration(what, id="LN-7002", remedy="Give its repository with `--to docker.io/USER/NAME`.")
    found = store.sibling(f"{repository}/{NAME}")
    assert found is not None, "only a run that may write, to a registry, gets here"
    return found


def make(session: Session, inputs: ReleaseInputs, result: BuildResult) -> Bundle:
    """The bundle of this commit. Raises `DeployFailed` when an image is missing or the chart does not work."""
    from lineal.deploy.helm import dependencies
    from lineal.deploy.helm.values_merge import merged

    helm, release = inputs.helm, inputs.release(result)
    folder = Path(release.chart.location)
    with _kept(folder / "Chart.lock"), _kept(folder / "requirements.lock"):
        dependencies.complete(helm, release, session.progress.note)
    values = merged(helm, release, session.workspace / "merge")
    # The chart is a private copy, or was fetched for this run.
    (Path(release.chart.location) / "values.yaml").write_bytes(written(values))
    encrypted = {f"{ENCRYPTED}{number:03}.yaml": file.text.encode() for number, file in enumerate(inputs.encrypted)}
    name, files = unpack(_packaged(session, inputs, release.chart), f"The chart {release.chart.name}")
    own = {path: content for path, content in files.items() if not path.startswith(ENCRYPTED)}
    return Bundle(name, {**own, **encrypted})


@contextmanager
def _kept(lock: Path) -> Iterator[None]:
    """Put a lock file back afterwards: the one that helm writes has the time of day in it."""
    before = lock.read_bytes() if lock.is_file() else None
    yield
    lock.unlink(missing_ok=True)
    if before is not None:
        lock.write_bytes(before)


def _packaged(session: Session, inputs: ReleaseInputs, chart: Chart) -> bytes:
    """The archive that `helm package` makes of the chart: helm knows .helmignore, and checks the chart."""
    version = session.settings.bundle_version.value or _version(session, chart)
    made = session.workspace / "package"
    made.mkdir()
    flags = ["--version", version, "--destination", str(made)]
    answer = inputs.helm.run(["package", *flags, "--", chart.location], output=session.progress.note)
    answer.or_interrupted("Packing the chart")
    found = list(made.glob("*.tgz"))
    if answer.code != 0 or len(found) != 1:
        from lineal.deploy.helm import errors

        reason = errors.reason_of(answer.stderr).replace(chart.location, chart.name)
        what = f"helm cannot pack the chart {chart.name}: {errors.sentence(reason)}"
        raise DeployFailed(what, id="LN-7003", remedy="Correct what helm names.")
    return found[0].read_bytes()


def _version(session: Session, chart: Chart) -> str:
    own = Bundle("", {"Chart.yaml": (Path(chart.location) / "Chart.yaml").read_bytes()}).titles.get("version", "")
    return default_version(own, session.context.tag, session.checkout.commit)
