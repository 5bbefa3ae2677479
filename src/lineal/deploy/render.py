"""`lineal render`: the manifests as text, or as a directory with one file for each template."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from lineal.deploy import manifest_files
from lineal.deploy.helm import dependencies
from lineal.deploy.helm.client import Helm, Output, silent
from lineal.deploy.release import Release
from lineal.errors import BadConfiguration, Unreachable
from lineal.text import quoted

LEDGER = ".lineal-render"
"""The files that an earlier run wrote into the directory: these may be replaced or removed, no others. `kubectl apply
-R` and Argo CD take every .json and .yaml for manifests."""
_OLD_LEDGER = ".lineal-render.json"
"""Its earlier name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What whoever applies the manifests wants of them."""

    hooks: bool = True
    """With hooks, tests among them: for those who do not know them, they are ordinary objects."""
    namespace: bool = False
    """With the namespace as an object, and its name in those that belong there."""
    kustomization: bool = False
    """With a kustomization.yaml."""


def render(helm: Helm, release: Release, output: Output = silent) -> str:
    """The manifests, `---` between them. `output` gets helm's lines meanwhile. Errors as `Helm.template`."""
    dependencies.complete(helm, release, output)
    return helm.template(release, output=output)


def render_to(
    helm: Helm,
    release: Release,
    directory: Path,
    output: Output = silent,
    shape: Shape = Shape(),
) -> list[str]:
    """Write `<chart>/templates/<name>` and so on into `directory`; their paths in it, sorted.

    Each file appears whole or not at all. Files of an earlier run that are not rendered any more are removed; a file
    that is not from such a run is never overwritten (`BadConfiguration`). A disk that is full or read-only is
    `Unreachable`."""

    def make(scratch: Path) -> None:
        dependencies.complete(helm, release, output)
        helm.template(replace(release, hooks=shape.hooks), scratch, output)
        _shaped(scratch, release, shape)

    return _made_in(directory, make)


def write_to(texts: Mapping[str, str], directory: Path) -> list[str]:
    """Write texts into `directory`, by their names, as `render_to` writes manifests."""

    def make(scratch: Path) -> None:
        for name, text in texts.items():
            (scratch / name).write_text(text, encoding="utf-8")

    return _made_in(directory, make)


def _made_in(directory: Path, make: Callable[[Path], None]) -> list[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The scratch directory is inside, so that moving a file never crosses a file system.
        with tempfile.TemporaryDirectory(prefix=".lineal-render-", dir=directory) as scratch:
            make(Path(scratch))
            return _exchange(Path(scratch), directory)
    except OSError as error:
        what = f"What was rendered cannot be written to {directory}: {error.strerror}."
        raise Unreachable(
            what, id="LN-6037", remedy="Check the directory and the space on its disk, or choose another."
        ) from None


def _shaped(scratch: Path, release: Release, shape: Shape) -> None:
    """The files as they are wanted. Raises `DeployFailed` for YAML that cannot be taken apart."""
    files = sorted(path for path in scratch.rglob("*") if path.is_file())
    if shape.namespace:
        # Together: a definition in one file says whether an object in another belongs into a namespace.
        read = {path: manifest_files.read(path.read_text(encoding="utf-8")) for path in files}
        placed = manifest_files.with_namespace(
            [one for objects in read.values() for one in objects], release.namespace
        )
        made = placed[: len(placed) - sum(map(len, read.values()))]
        rest = iter(placed[len(made) :])
        for path, objects in read.items():
            path.write_text(manifest_files.document(next(rest) for _ in objects), encoding="utf-8")
        if made:
            files.insert(0, scratch / "namespace.yaml")
            files[0].write_text(manifest_files.document(made), encoding="utf-8")
    if shape.kustomization:
        names = [path.relative_to(scratch).as_posix() for path in files]
        (scratch / manifest_files.KUSTOMIZATION).write_text(manifest_files.kustomization(names), encoding="utf-8")


def _exchange(scratch: Path, directory: Path) -> list[str]:
    new = sorted(path.relative_to(scratch).as_posix() for path in scratch.rglob("*") if path.is_file())
    old = _ledger(directory)
    for name in new:
        _refuse_foreign(scratch / name, directory, name, old)
    # List the files before they are there: a run that is cut off leaves no file that the next one takes for foreign.
    _write_ledger(scratch, directory, sorted({*old, *new}))
    for name in new:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).replace(target)
    for name in old - set(new):
        _remove(directory, name)
    _write_ledger(scratch, directory, new)
    (directory / _OLD_LEDGER).unlink(missing_ok=True)
    return new


def _refuse_foreign(made: Path, directory: Path, name: str, old: set[str]) -> None:
    target = directory / name
    if not target.resolve().is_relative_to(directory.resolve()):
        what = f"{quoted(name)} in {directory} is a link that leads out of it."
        raise BadConfiguration(what, id="LN-6036", remedy="Remove the link, or choose another `--output`.")
    if name in old or not os.path.lexists(target):
        return
    if not target.is_file() or target.read_bytes() != made.read_bytes():
        what = f"{target} is in the way: it was not written by `lineal render`."
        raise BadConfiguration(what, id="LN-6036", remedy="Move it away, or choose another `--output`.")


def _ledger(directory: Path) -> set[str]:
    """The files that an earlier run listed. The list may be anybody's: names that lead out of the directory are
    ignored."""
    file = directory / LEDGER if (directory / LEDGER).exists() else directory / _OLD_LEDGER
    try:
        listed = json.loads(file.read_bytes())["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    names = [PurePosixPath(name) for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    root = directory.resolve()
    inside = [name for name in names if not name.is_absolute() and ".." not in name.parts and name.parts]
    return {str(name) for name in inside if (directory / name).parent.resolve().is_relative_to(root)}


def _write_ledger(scratch: Path, directory: Path, names: list[str]) -> None:
    made = scratch / LEDGER
    made.write_text(json.dumps({"files": names}, indent=1) + "\n", encoding="utf-8")
    made.replace(directory / LEDGER)


def _remove(directory: Path, name: str) -> None:
    target = directory / name
    if not target.is_file() and not target.is_symlink():
        return
    target.unlink()
    for parent in target.parents:
        if parent == directory or any(parent.iterdir()):
            return
        parent.rmdir()
