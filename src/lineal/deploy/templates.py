"""Any text of the commit that names images: a compose file, a Nomad job, a unit of systemd. Jinja2 renders it as it
does values files."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lineal.deploy.commit_files import in_repository, text_of_commit
from lineal.deploy.commit_images import bases, names_of, published
from lineal.deploy.image_use import unused
from lineal.errors import BadConfiguration

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.session.session import Session

_ENDING = ".j2"
_YAML = (".yaml", ".yml")


class Templates:
    """What `--template` names, else `deploy.templates`."""

    def __init__(self, session: Session) -> None:
        """Raises `BadConfiguration` for a template outside of the repository, and for two of one name."""
        self._session = session
        self.folders: list[str] = []
        self.files = [self._of_commit(path) for path in session.settings.render_templates.value] or (
            list(session.loaded.deploy(("release", "namespace")).templates)
        )
        names = [self.name(path) for path in self.files]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            what = f"Two templates become {twice}."
            raise BadConfiguration(what, id="LN-6076", remedy="Render them in two runs, or rename one.")

    @classmethod
    def wanted(cls, session: Session) -> bool:
        """Whether this run renders templates, and no release."""
        deploy = session.loaded.project.deploy
        return bool(session.settings.render_templates.value or (deploy and deploy.templates))

    def _of_commit(self, path: str) -> str:
        inside = in_repository(self._session, path)
        if inside is None:
            what = f"The template {path} is not in this repository."
            raise BadConfiguration(what, id="LN-6076", remedy="Commit it, and name it by its path.")
        return inside

    @staticmethod
    def name(path: str) -> str:
        """The name of what a template becomes: its own without `.j2`."""
        return PurePosixPath(path).name.removesuffix(_ENDING)

    def check(self) -> None:
        _ = self._texts

    @cached_property
    def _texts(self) -> dict[str, str]:
        given = bool(self._session.settings.render_templates.value)
        return {
            path: text_of_commit(self._session, path, "template", None if given else f"deploy.templates[{number}]")
            for number, path in enumerate(self.files)
        }

    def rendered(self, result: BuildResult) -> dict[str, str]:
        """Name -> text. Raises `DeployFailed` when an image is not published, and `BadConfiguration`."""
        from lineal.config.template import render

        images = published(result)
        names = names_of(self._session, images)
        made = {self.name(path): render(text, file=path, names=names) for path, text in self._texts.items()}
        deployed = {name: image.ref for name, image in images.items() if name not in bases(self._session)}
        for sentence in unused(deployed, "\n".join(made.values())):
            self._session.progress.warn(sentence.replace("manifest", "template"))
        return made


def together(texts: dict[str, str]) -> str:
    """The texts as one, for stdout. Raises `BadConfiguration` for several that are not all YAML."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    if not all(name.endswith(_YAML) for name in texts):
        what = f"{', '.join(texts)} cannot be one text."
        raise BadConfiguration(what, id="LN-6076", remedy="Give `--output DIR`, or render one `--template` a run.")
    return "".join(f"{'' if text.startswith('---') else f'---{chr(10)}'}{text.rstrip()}\n" for text in texts.values())
