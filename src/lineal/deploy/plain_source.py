"""What a release is made of in place of a chart: manifests of the commit, or a kustomization.

Both become a chart of this run, which only says what they say: so they are deployed, watched, compared, pruned,
rolled back and dismissed as any other release. The record of what was applied is helm's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lineal.deploy.commit_files import text_of_commit
from lineal.deploy.helm.objects import objects_of
from lineal.deploy.release import Chart
from lineal.errors import BadConfiguration
from lineal.kube.json_fields import at
from lineal.text import quoted

if TYPE_CHECKING:
    from lineal.config.model import Deploy
    from lineal.deploy.values import ImageValue
    from lineal.session.session import Session

_ENDINGS = (".yaml", ".yml", ".json")
_TEMPLATE = ".j2"
_BETWEEN = re.compile(r"^---(?=\s|$).*\n?", re.MULTILINE)
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")


class PlainSource:
    def __init__(self, session: Session, deploy: Deploy) -> None:
        self._session, self._deploy = session, deploy

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self._deploy.kustomize or ", ".join(self._deploy.manifests)

    @cached_property
    def paths(self) -> list[str]:
        """The files and directories of the commit that are read."""
        if not self._deploy.kustomize:
            return self._deploy.manifests
        from lineal.deploy.kustomize import directories

        return directories(self._session.repository, self._deploy.kustomize)

    def check(self) -> None:
        """Raises `BadConfiguration` and `Uncommitted` for what is missing, before anything is built."""
        if self._deploy.kustomize:
            from lineal.deploy.kustomize import find

            _ = self.paths
            find(self._session.settings.environ)
            return
        _ = self._texts

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Path in the commit -> text, in order."""
        found: dict[str, str] = {}
        for number, path in enumerate(self._deploy.manifests):
            key = f"deploy.manifests[{number}]"
            listed = self._files(path)
            found |= {file: text_of_commit(self._session, file, "manifest", key) for file in listed}
        return found

    def _files(self, path: str) -> list[str]:
        """The file itself, or the manifests below a directory."""
        listing = self._session.repository.listing([path])
        files = sorted(name for name, mode, _ in listing if mode.startswith("100") or mode == "120000")
        if files in ([], [path]):
            return [path]
        below = f"{path}/" if path != "." else ""
        found = [
            name for name in files
            if name.startswith(below) and name.removesuffix(_TEMPLATE).endswith(_ENDINGS)
        ]  # fmt: skip
        if not found:
            what = f"The directory {quoted(path)} has no manifests: no file that ends in {', '.join(_ENDINGS)}."
            raise BadConfiguration(what, id="LN-6073", place=self._session.loaded.place("deploy.manifests"),
                                   remedy="Correct the path, or write the manifests.")  # fmt: skip
        return found

    def chart(self, names: Mapping[str, object], images: Mapping[str, ImageValue], namespace: str) -> Chart:
        """The chart, in the run's private directory. `names` are for templates. Raises `LinealError`."""
        folder = self._session.workspace / "plain"
        if not (folder / "Chart.yaml").exists():
            write_chart(folder, self._session.loaded.project.project, self._rendered(names, images), namespace)
        return Chart(str(folder), self.name, str(folder))

    def _rendered(self, names: Mapping[str, object], images: Mapping[str, ImageValue]) -> dict[str, str]:
        if self._deploy.kustomize:
            from lineal.deploy.kustomize import build

            return {"kustomization.yaml": build(self._session, self._deploy.kustomize, self.paths, images)}
        from lineal.config.template import render

        return {
            path.removesuffix(_TEMPLATE): render(text, file=path, names=names) if path.endswith(_TEMPLATE) else text
            for path, text in self._texts.items()
        }


def write_chart(folder: Path, name: str, files: Mapping[str, str], namespace: str) -> None:
    """A chart whose templates say what these manifests say, whatever braces are in them. Definitions go to crds/,
    which helm installs before anything of their kinds; the namespace of the release is made by the deploy."""
    for directory in ("templates", "files", "crds"):
        (folder / directory).mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 0.0.0\n")
    for number, (path, text) in enumerate(files.items()):
        file = f"{number:03}-{_STRANGE.sub('-', PurePosixPath(path).name)}.yaml"
        documents = [document for document in _BETWEEN.split(text) if document.strip()]
        definitions = [one for one in documents if _all_are(one, "CustomResourceDefinition")]
        plain = [one for one in documents if one not in definitions and not _is_namespace(one, namespace)]
        if definitions:
            (folder / "crds" / file).write_text(_joined(definitions), encoding="utf-8")
        if plain:
            (folder / "files" / file).write_text(_joined(plain), encoding="utf-8")
            (folder / "templates" / file).write_text(f'{{{{ .Files.Get "files/{file}" }}}}\n')


def _joined(documents: Iterable[str]) -> str:
    return "".join(f"---\n{document.rstrip()}\n" for document in documents)


def _objects(document: str) -> list[dict[str, Any]]:
    return list(objects_of([document]))


def _all_are(document: str, kind: str) -> bool:
    found = _objects(document)
    return bool(found) and all(one.get("kind") == kind for one in found)


def _is_namespace(document: str, name: str) -> bool:
    found = _objects(document)
    return [(one.get("kind"), at(one, "metadata", "name")) for one in found] == [("Namespace", name)]
