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

from lineal.cluster.kubeconfig import on_disk
from lineal.output import check_files, fail

if TYPE_CHECKING:
    from lineal.images import Images
    from lineal.rollout import Rollout
    from lineal.run import Run


@contextmanager
def run_of(given: dict[str, Any]) -> Iterator[Run]:
    """A run with its private directory; both are gone afterwards, however it ends."""
    from lineal.options import Options
    from lineal.report.choose import choose
    from lineal.run import Run

    options = Options(**given)
    progress = choose(sys.stderr, options.environ)
    workspace = Path(tempfile.mkdtemp(prefix="lineal-"))
    options = replace(options, environ=on_disk(options.environ, workspace))
    run = Run(options, progress, workspace, Path.cwd())
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


def start(run: Run, images: tuple[str, ...] = (), rollout: Rollout | None = None) -> Images:
    """Say what this run is about, and read what it builds."""
    from lineal.pipeline.detect import describe

    check_files(run)
    for line in describe(run.context):
        run.progress.note(line)
    if run.dev:
        run.progress.note("files      the working tree, as if it were committed  --dev")
    run.progress.note(f"store      {run.repo.value}  {run.repo.origin}")
    return run.images(images, rollout.folders if rollout else (), rollout.files if rollout else ())


def start_release(run: Run, *, bundled: bool = False) -> tuple[Rollout, Images]:
    from lineal.rollout import Rollout

    rollout = Rollout(run, bundled=bundled)
    images = start(run, (), rollout)
    rollout.check()
    return rollout, images
