"""`lineal init`: a first `lineal.yaml` of what the commit has, and the pipeline that builds it."""

from __future__ import annotations

from pathlib import Path

from lineal.commands.output import show
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject, load, name_of
from lineal.config.model import FILE, Project
from lineal.dockerfile.images import read_images
from lineal.errors import BadConfiguration, LinealError
from lineal.init.document import text_of
from lineal.init.draft import Draft, draft
from lineal.init.files import CommitFiles
from lineal.init.pipeline import FILES, pipeline
from lineal.session.session import Session


def init(session: Session, ci: str | None = None, *, dry_run: bool = False) -> None:
    """The whole command. Raises `BadConfiguration` for a file that is there already, and where nothing is found."""
    root = session.checkout.root
    written = {FILE: root / FILE, **({FILES[ci]: root / FILES[ci]} if ci else {})}
    for name, path in written.items():
        if path.exists() or path.is_symlink() or session.checkout.has(name):
            raise BadConfiguration(
                f"There is a {name} already, and it is not written over.",
                id="LN-1055",
                remedy="Remove it, or look at what would be written with --dry-run in a clone without it."
                if name == FILE
                else f"Leave out `--ci {ci}`, and add the job that docs/{ci}.md shows.",
            )
    found = _draft(session)
    text = text_of(found)
    _check(session, text)
    texts = {FILE: text, **({FILES[ci]: pipeline(ci, session.context.branch or "main")} if ci else {})}
    if dry_run:
        show("".join(f"# {name}\n{one}" if len(texts) > 1 else one for name, one in texts.items()))
    else:
        for name, one in texts.items():
            _write(written[name], one)
            session.progress.note(f"wrote      {name}")
    for reason in found.left_out:
        session.progress.note(f"left out   {reason}")
    if not dry_run:
        session.progress.note("Read it, commit it, and run `lineal plan`.")


def _draft(session: Session) -> Draft:
    name = (session.context.repository or session.checkout.root.name).rpartition("/")[2]

    def refused(project: Project, image: str) -> str | None:
        try:
            read_images(session.checkout, LoadedProject(project), [image], session.giterminism)
        except LinealError as error:
            return error.words
        return None

    return draft(CommitFiles(session.checkout), name_of(name), refused)


def _check(session: Session, text: str) -> None:
    """What is written can be read."""
    load(text, env=None, vars={}, git=session.git_facts, environ={}, giterminism=Giterminism())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
