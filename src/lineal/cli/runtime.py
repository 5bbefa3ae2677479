"""How a command begins: a run with its private directory, and what people are told about it first."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineal.commands.output import check_files, fail
from lineal.kube.kubeconfig import on_disk

if TYPE_CHECKING:
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.dockerfile.images import ImageGraphs
    from lineal.session.session import Session


@contextmanager
def run_of(given: dict[str, Any]) -> Iterator[Session]:
    """A run with its private directory; both are gone afterwards, however it ends."""
    from lineal.report.select import choose
    from lineal.session.options import Options
    from lineal.session.session import Session

    options = Options(**given)
    progress = choose(sys.stderr, options.environ)
    workspace = Path(tempfile.mkdtemp(prefix="lineal-"))
    options = replace(options, environ=on_disk(options.environ, workspace))
    run = Session(options, progress, workspace, Path.cwd())
    try:
        yield run
    except (Exception, KeyboardInterrupt) as error:
        # Without the program's name: `plan`, `bundle apply`.
        fail(run, click.get_current_context().command_path.partition(" ")[2], error)
        raise
    finally:
        run.close()
        progress.close()
        shutil.rmtree(workspace, ignore_errors=True)


def start(run: Session, images: tuple[str, ...] = (), rollout: ReleaseInputs | None = None) -> ImageGraphs:
    """Say what this run is about, and read what it builds."""
    from lineal.ci.provider import describe

    check_files(run)
    for line in describe(run.context):
        run.progress.note(line)
    if run.dev:
        run.progress.note("files      the working tree, as if it were committed  --dev")
    run.progress.note(f"store      {run.repo.value}  {run.repo.origin}")
    return run.images(images, rollout.folders if rollout else (), rollout.files if rollout else ())


def start_release(run: Session, *, bundled: bool = False) -> tuple[ReleaseInputs, ImageGraphs]:
    from lineal.deploy.inputs import ReleaseInputs

    rollout = ReleaseInputs(run, bundled=bundled)
    images = start(run, (), rollout)
    rollout.check()
    return rollout, images
