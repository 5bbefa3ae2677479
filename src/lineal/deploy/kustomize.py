"""Kustomizations of the commit, built by the kustomize program, with the images of the commit by their digests.

Only directories of the commit are read: the program finds no git, and its proxy leads nowhere."""

from __future__ import annotations

import json
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineal import process
from lineal.context.checkout import check_out
from lineal.context.committed import absent
from lineal.errors import BadConfiguration, DeployFailed
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.deploy.values import ImageValue
    from lineal.git.commit import Commit
    from lineal.session.session import Session

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_REFERENCES = ("resources", "bases", "components")
_MOST = 100
"""Directories that one kustomization may be made of."""
_SECONDS = 120.0
_NOWHERE = "http://127.0.0.1:9"
"""Port 9 takes nothing: what would come from another machine fails."""


def find(environ: Mapping[str, str]) -> list[str]:
    """The command that builds a kustomization: `kustomize build`, or `kubectl kustomize`. Raises
    `BadConfiguration`."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if (found := shutil.which(command[0], path=environ.get("PATH", ""))) is not None:
            return [found, command[1]]
    what = "There is neither kustomize nor kubectl on PATH, and `deploy.kustomize` needs one of them."
    remedy = "Install kustomize (https://kustomize.io), or commit what it builds and name that in `deploy.manifests`."
    raise BadConfiguration(what, id="LN-6074", remedy=remedy)


def directories(commit: Commit, folder: str) -> list[str]:
    """The directories of the commit that a kustomization is made of, itself first. Raises `BadConfiguration` for one
    that is elsewhere, and for what is no kustomization."""
    found = [folder]
    for one in found:
        for entry in _references(commit, one):
            if "://" in entry or entry.startswith(("git@", "github.com/")) or "?" in entry:
                what = f"{one} refers to {printable(entry)}, which is not in the commit."
                raise BadConfiguration(what, id="LN-6075", remedy="Commit what it is, and name its path.")
            path = posixpath.normpath(posixpath.join(one, entry))
            if path.partition("/")[0] == "..":
                what = f"{one} refers to {printable(entry)}, which is outside of the repository."
                raise BadConfiguration(what, id="LN-6075", remedy="Commit what it is, and name its path.")
            if path not in found and commit.children(path) and len(found) < _MOST:
                found.append(path)
    return found


def _references(commit: Commit, folder: str) -> list[str]:
    import yaml

    named = [name for name in _FILES if commit.file(_inside(folder, name)) is not None]
    if not named:
        name = f"The kustomization {_inside(folder, _FILES[0])}"
        raise absent(commit, _inside(folder, _FILES[0]), name, remedy="Correct `deploy.kustomize`, or commit it.")
    data = commit.file(_inside(folder, named[0])) or b""
    try:
        read: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        what = f"{_inside(folder, named[0])} is no YAML that can be read."
        raise BadConfiguration(what, id="LN-6075", remedy="Correct it.") from None
    listed = [read.get(key) for key in _REFERENCES] if isinstance(read, dict) else []
    return [entry for entries in listed if isinstance(entries, list) for entry in entries if isinstance(entry, str)]


def _inside(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def build(session: Session, folder: str, paths: Sequence[str], images: Mapping[str, ImageValue]) -> str:
    """The manifests. An image of the manifests that has the name of one of lineal.yaml becomes that, by digest.
    Raises `DeployFailed`, `BadConfiguration`, `Interrupted`."""
    root = session.workspace / "kustomize" / "root"
    for path in paths:
        place = root / path
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            check_out(session.repository, path, place)
    top = session.workspace / "kustomize" / "images"
    top.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    (top / _FILES[0]).write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [f"../root/{folder}"],
        "images": [{"name": name, "newName": image.repository, "digest": image.digest}
                   for name, image in images.items()],
    }))  # fmt: skip
    return _run([*find(session.settings.environ), str(top)], str(root), folder)


def _run(command: list[str], root: str, folder: str) -> str:
    printed: list[bytes] = []
    said: list[bytes] = []
    # No PATH: for what is elsewhere kustomize would start git.
    env = {"PATH": "", "HOME": root, "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE, "NO_PROXY": ""}
    try:
        outcome = process.run(
            command, env=env, output=lambda stream, line: (printed if stream == "stdout" else said).append(line),
            grace=_SECONDS, limit=_SECONDS,
        )  # fmt: skip
    except OSError as error:
        what = f"{command[0]} cannot be run: {error.strerror}."
        raise BadConfiguration(what, id="LN-6074", remedy="Install kustomize again.") from None
    outcome.or_interrupted("Building the kustomization")
    if outcome.code != 0:
        reason = " ".join(b"".join(said).decode("utf-8", "replace").replace(f"{root}/", "").split())
        what = f"kustomize cannot build {folder}: {printable(reason.removeprefix('Error: '), 600).rstrip('.')}."
        raise DeployFailed(what, id="LN-6077", remedy="Correct what it names.")
    return b"".join(printed).decode("utf-8", "replace")
