"""`lineal bundle publish`: the commit's chart, its values and its images' digests become one bundle in a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.deploy.bundle.bundle import SEALED, Bundle, check_version, default_version, written
from lineal.deploy.helm.chart_archive import unpack
from lineal.errors import BadConfiguration, DeployFailed, Interrupted
from lineal.oci import Store
from lineal.oci.reference import DOCKER_HUB, parse_address
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.deploy.release import Chart
    from lineal.session.session import Session
    from lineal.stages.plan import BuildPlan

NAME = "bundle"
"""The repository of bundles below that of the images."""


def check(run: Session) -> None:
    """Raises for a run that cannot publish a bundle, before it has done anything."""
    version = run.options.text("bundle-version").value
    if version:
        check_version(version)
    if run.dev:
        what = "A bundle is of a commit, and --dev is about the working tree."
        raise BadConfiguration(what, remedy="Commit, and leave --dev out.")
    if is_directory(run.repo.value):
        what = f"The images are in {run.repo.value}, where no cluster finds them, so a bundle of them is of no use."
        raise BadConfiguration(what, remedy="Give a registry with `--repo HOST/REPOSITORY`.")
    if not run.context.may_write:
        what = "This run may not write (a pull request from a fork), so it publishes no bundle."
        raise DeployFailed(what, remedy="Publish from a branch of the project itself.")
    _ = shelf_of(run)


def shelf_of(run: Session) -> Store:
    """The repository of the run's bundles: `--to`, else `<store>/bundle`."""
    named = run.options.text("bundle-repo").value.removeprefix("oci://")
    if named:
        parse_address(named)
        return run.stores.image(named, run.store)[0]
    return beside(run.store)


def beside(store: Store) -> Store:
    """The repository of bundles that belongs to a store."""
    host, repository = parse_address(store.address)
    if host == DOCKER_HUB:
        what = "Docker Hub has no repositories below another, so the bundle cannot be beside the images."
        raise BadConfiguration(what, remedy="Give its repository with `--to docker.io/USER/NAME`.")
    found = store.sibling(f"{repository}/{NAME}")
    assert found is not None, "only a run that may write, to a registry, gets here"
    return found


def make(run: Session, rollout: ReleaseInputs, outlook: BuildPlan) -> Bundle:
    """The bundle of this commit. Raises `DeployFailed` when an image is missing or the chart does not work."""
    from lineal.deploy.helm import dependencies
    from lineal.deploy.helm.values_merge import merged

    helm, release = rollout.helm, rollout.release(outlook)
    with _kept(Path(release.chart.location) / "Chart.lock"):
        dependencies.complete(helm, release, run.progress.note)
    values = merged(helm, release, run.workspace / "merge")
    # A private copy, or fetched: nobody else's.
    (Path(release.chart.location) / "values.yaml").write_bytes(written(values))
    sealed = {f"{SEALED}{number:03}.yaml": file.text.encode() for number, file in enumerate(rollout.sealed)}
    name, files = unpack(_packaged(run, rollout, release.chart), f"The chart {release.chart.name}")
    own = {path: content for path, content in files.items() if not path.startswith(SEALED)}
    return Bundle(name, {**own, **sealed})


@contextmanager
def _kept(lock: Path) -> Iterator[None]:
    """helm writes a Chart.lock with the time of day in it."""
    before = lock.read_bytes() if lock.is_file() else None
    yield
    lock.unlink(missing_ok=True)
    if before is not None:
        lock.write_bytes(before)


def _packaged(run: Session, rollout: ReleaseInputs, chart: Chart) -> bytes:
    """What `helm package` makes of the chart: it knows .helmignore, and checks what it packs."""
    version = run.options.text("bundle-version").value or _version(run, chart)
    made = run.workspace / "package"
    made.mkdir()
    flags = ["--version", version, "--destination", str(made)]
    answer = rollout.helm.run(["package", *flags, "--", chart.location], output=run.progress.note)
    if answer.signals:
        raise Interrupted(f"Packing the chart was interrupted by {answer.signals[0].name}.")
    found = list(made.glob("*.tgz"))
    if answer.code != 0 or len(found) != 1:
        from lineal.deploy.helm import errors

        reason = errors.reason_of(answer.stderr).replace(chart.location, chart.name)
        what = f"helm cannot pack the chart {chart.name}: {errors.sentence(reason)}"
        raise DeployFailed(what, remedy="Correct what helm names.")
    return found[0].read_bytes()


def _version(run: Session, chart: Chart) -> str:
    own = Bundle("", {"Chart.yaml": (Path(chart.location) / "Chart.yaml").read_bytes()}).titles.get("version", "")
    return default_version(own, run.context.tag, run.checkout.commit)
