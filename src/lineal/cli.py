"""The commands: parse, call, print. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click

from lineal import __version__
from lineal.errors import BadConfiguration, Interrupted, LinealError, Unreachable

if TYPE_CHECKING:
    from lineal.images import Images
    from lineal.report.json import Report
    from lineal.rollout import Rollout
    from lineal.run import Run
    from lineal.stages.conveyor import Outlook

_PENDING = 2
_INTERRUPTED = 130
_UNEXPECTED = 1
F = TypeVar("F", bound=Callable[..., Any])


# --- options ----------------------------------------------------------------------------------------------------


def _options(*groups: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


def _option(name: str, help: str, **extra: Any) -> Callable[[F], F]:
    """An option whose environment equivalent is `LINEAL_<NAME>`; the help says so."""
    variable = "LINEAL_" + name.split("/")[0].removeprefix("--").upper().replace("-", "_")
    return click.option(name, help=f"{help}  [{variable}]", default=extra.pop("default", None), **extra)


def _debug(wanted: bool) -> None:
    if wanted:
        os.environ["LINEAL_DEBUG"] = "1"


_RUN: list[Callable[[Any], Any]] = [
    _option("--repo", "The store: HOST/REPOSITORY, or layout:PATH for a directory.", metavar="STORE"),
    _option("--env", "The environment's name, for templates and default release names.", metavar="NAME"),
    _option("--var", "A value for templates: vars.NAME. May be repeated.", metavar="NAME=VALUE", multiple=True),
    _option("--insecure-registry", "A registry host that speaks plain http. May be repeated.", metavar="HOST",
            multiple=True),
    _option("--ignore-uncommitted", "Build the commit although files it reads have uncommitted changes.",
            is_flag=True),
    _option("--dev", "Build the working tree as if it were committed; nobody inherits the result.", is_flag=True),
    _option("--report", "Write a JSON report of the run to this file.", metavar="FILE"),
    click.option("--debug", is_flag=True, expose_value=False, callback=lambda _, __, debug: _debug(debug),
                 help="Show a traceback when something unexpected happens.  [LINEAL_DEBUG]"),
]  # fmt: skip
_BUILD: list[Callable[[Any], Any]] = [
    _option("--secret", "A secret for RUN --mount=type=secret. May be repeated.", multiple=True,
            metavar="id=ID,env=VARIABLE|src=FILE"),
    _option("--jobs", "How many stages to build at once (default 4).", type=click.IntRange(min=1), metavar="N"),
    _option("--lock", "auto, file or none: whether runs wait for each other to save duplicate work.", metavar="LOCK"),
]  # fmt: skip
_RELEASE: list[Callable[[Any], Any]] = [
    _option("--release", "The Helm release's name.", metavar="NAME"),
    _option("--namespace", "The namespace it goes to.", metavar="NAME"),
    _option("--values", "One more values file. May be repeated; later ones win.", metavar="FILE", multiple=True),
    _option("--set", "A single value, as for helm. May be repeated; wins over files.", metavar="KEY=VALUE",
            multiple=True),
]  # fmt: skip
_CLUSTER: list[Callable[[Any], Any]] = [
    _option("--kube-context", "The kubeconfig context of the cluster.", metavar="NAME"),
    _option("--timeout", "How long to wait until the release is ready, such as 10m.", metavar="DURATION"),
]


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end without a word. Our own output is not meant (see `_print`): a process or a server ended.
            what = "A program or a server that Lineal was talking to ended in the middle."
            raise Unreachable(what, remedy="Run it again; what was published before stays.") from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `lineal plan`. Exit codes: 0 done, 1 build or deploy failed, 2 work pending (plan "
    "--exit-code), 3 bad configuration or usage, 4 uncommitted changes, 5 unreachable, 130 interrupted.",
)
@click.version_option(__version__, message="lineal %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback when something unexpected happens.  [LINEAL_DEBUG]")
def cli(debug: bool) -> None:
    """Container images along the line of git history.

    Lineal builds the stages of a Dockerfile that this commit's history has not published yet, publishes each at
    once, and deploys a Helm release with the resulting digests.
    """
    _debug(debug)


# --- commands ---------------------------------------------------------------------------------------------------


@cli.command(epilog="\b\nExamples:\n  lineal plan\n  lineal plan --format json --repo registry.example.com/team/app\n"
             "  lineal plan --exit-code || echo 'there is work'")  # fmt: skip
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@_options(_RUN)
@click.option("--format", "format_", type=click.Choice(["table", "json", "matrix"]), default="table",
              help="A table, the report as JSON, or a job matrix with the images that need work.")  # fmt: skip
@click.option("--exit-code", is_flag=True, help="Exit with 2 when there is work.")
def plan(images: tuple[str, ...], format_: str, exit_code: bool, **given: Any) -> None:
    """Show what would be built, and why. Builds and writes nothing."""
    with _run(given) as run:
        outlook = run.look(_start(run, images))
        report = run.report("plan", outlook)
        _save(report, run)
        run.progress.close()
        _print(_plan_text(report, format_))
        if exit_code and outlook.needed:
            sys.exit(_PENDING)


@cli.command(epilog="\b\nExamples:\n  lineal build\n  docker run --rm $(lineal build api)\n"
             "  lineal build --dev --repo layout:/tmp/store")  # fmt: skip
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@_options(_RUN, _BUILD)
def build(images: tuple[str, ...], **given: Any) -> None:
    """Build and publish the stages that are missing; print the images' references.

    With one IMAGE its reference alone is printed, otherwise a line `NAME REFERENCE` for each.
    """
    with _run(given) as run:
        outlook = run.look(_start(run, images))
        with _reported(run, "build", outlook):
            run.build(outlook)
        references = run.image_values(outlook)
        if len(images) == 1:
            _print(references[images[0]].ref + "\n")
        else:
            _print("".join(f"{name} {value.ref}\n" for name, value in references.items()))


@cli.command(epilog="\b\nExamples:\n  lineal render --env staging | kubectl diff -f -\n"
             "  lineal render --env prod --output manifests/")  # fmt: skip
@_options(_RUN, _RELEASE)
@click.option("--output", metavar="DIR", help="Write one file for each template there instead of printing.")
@click.option("--kube-version", metavar="VERSION", help="The Kubernetes version that templates see.")
def render(output: str | None, **given: Any) -> None:
    """Print the manifests with the images' digests. Needs helm, no cluster; every image must be published."""
    from lineal.deploy.render import render as render_text
    from lineal.deploy.render import render_to

    with _run(given) as run:
        rollout, images = _start_release(run)
        helm = rollout.helm()
        outlook = run.look(images)
        _save(run.report("render", outlook), run)
        release = rollout.release(outlook)
        if output is None:
            _print(render_text(helm, release, run.progress.note))
        else:
            for path in render_to(helm, release, Path(output), run.progress.note):
                _print(f"{output.rstrip('/')}/{path}\n")


@cli.command(epilog="\b\nExamples:\n  lineal deploy --env staging\n"
             "  lineal deploy --env prod --kube-context prod --timeout 15m")  # fmt: skip
@_options(_RUN, _RELEASE, _CLUSTER)
def deploy(**given: Any) -> None:
    """Install or upgrade the Helm release with the images' digests, and wait until it is ready.

    Refuses when an image of this commit is not published. A release that does not become ready is rolled back.
    """
    with _run(given) as run:
        rollout, images = _start_release(run)
        outlook = run.look(images)
        with _reported(run, "deploy", outlook) as done:
            done(_upgrade(run, rollout, outlook))


@cli.command(epilog="\b\nExamples:\n  lineal converge --env staging\n"
             "  lineal converge --env prod --repo registry.example.com/team/app --report report.json")  # fmt: skip
@_options(_RUN, _BUILD, _RELEASE, _CLUSTER)
def converge(**given: Any) -> None:
    """Build what is missing, then deploy: the main job of a pipeline."""
    with _run(given) as run:
        rollout, images = _start_release(run)
        rollout.helm()
        outlook = run.look(images)
        with _reported(run, "converge", outlook) as done:
            run.build(outlook)
            done(_upgrade(run, rollout, outlook))
        _print("".join(f"{name} {value.ref}\n" for name, value in run.image_values(outlook).items()))


@cli.command(epilog="\b\nExample:\n  lineal config --env prod")
@_options(_RUN, _BUILD, _RELEASE, _CLUSTER)
def config(**given: Any) -> None:
    """Print the resolved configuration, each value with where it came from."""
    from lineal.config.settings import describe

    with _run(given) as run:
        options = run.options
        settings: dict[str, Any] = {
            "repo": run.repo, "env": run.env, "jobs": options.job_count(), "dev": options.flag("dev"),
            "lock": options.text("lock", run.loaded.setting("lock"), "auto"),
        }  # fmt: skip
        if run.loaded.project.deploy is not None:
            for name in ("release", "namespace", "timeout"):
                key = f"deploy.{name}"
                default = getattr(run.loaded.project.deploy, name)
                settings[key] = options.text(name, run.loaded.setting(key), default)
        _print(describe(run.loaded, settings))


@cli.command(epilog="\b\nExample:\n  lineal schema > lineal.schema.json")
def schema() -> None:
    """Print the JSON Schema of lineal.yaml, the one it is checked against."""
    import json

    from lineal.config.schema import schema as make

    _print(json.dumps(make(), indent=2) + "\n")


# --- parts of commands ------------------------------------------------------------------------------------------


@contextmanager
def _run(given: dict[str, Any]) -> Iterator[Run]:
    """A run with its private directory; both are gone afterwards, however it ends."""
    from lineal.options import Options
    from lineal.report.choose import choose
    from lineal.run import Run

    options = Options(**given)
    progress = choose(sys.stderr, options.environ)
    workspace = Path(tempfile.mkdtemp(prefix="lineal-"))
    run = Run(options, progress, workspace, Path.cwd())
    try:
        yield run
    finally:
        run.close()
        progress.close()
        shutil.rmtree(workspace, ignore_errors=True)


def _start(run: Run, images: tuple[str, ...] = (), rollout: Rollout | None = None) -> Images:
    """Say what this run is about, and read what it builds."""
    from lineal.pipeline.detect import describe

    for line in describe(run.context):
        run.progress.note(line)
    if run.dev:
        run.progress.note("files      the working tree, as if it were committed  --dev")
    run.progress.note(f"store      {run.repo.value}  {run.repo.origin}")
    return run.images(images, rollout.folders if rollout else (), rollout.files if rollout else ())


def _start_release(run: Run) -> tuple[Rollout, Images]:
    from lineal.rollout import Rollout

    rollout = Rollout(run)
    images = _start(run, (), rollout)
    rollout.check()
    return rollout, images


def _upgrade(run: Run, rollout: Rollout, outlook: Outlook) -> Any:
    helm = rollout.helm()
    release = rollout.release(outlook)
    run.progress.note(f"Deploying {release} with helm {helm.version}.")
    return helm.upgrade(release, run.progress.note)


@contextmanager
def _reported(run: Run, command: str, outlook: Outlook) -> Iterator[Callable[[Any], None]]:
    """The summary and the report at the end, also of a run that failed. Yields where a release's result goes."""
    release: list[Any] = []
    try:
        yield release.append
    finally:
        report = run.report(command, outlook)
        report.release = release[0] if release else None
        run.progress.close()
        sys.stderr.write(_table(report, sys.stderr))
        sys.stderr.flush()
        _save(report, run)


def _save(report: Report, run: Run) -> None:
    from lineal.report.json import encode

    path = run.options.text("report").value
    if not path:
        return
    try:
        Path(path).write_bytes(encode(report))
    except OSError as error:
        raise BadConfiguration(f"The report cannot be written to {path}: {error.strerror}.",
                               remedy="Correct --report.") from None  # fmt: skip


def _plan_text(report: Report, format_: str) -> str:
    import json

    from lineal.report.json import encode

    if format_ == "json":
        return encode(report).decode()
    if format_ == "matrix":
        stale = [{"image": image.name} for image in report.images if image.digest is None]
        return json.dumps({"include": stale}, separators=(",", ":")) + "\n"
    return _table(report, sys.stdout)


def _table(report: Report, stream: TextIO) -> str:
    from lineal.report.choose import columns, has_colour
    from lineal.report.summary import summary

    return summary(report, colour=has_colour(stream, os.environ), width=columns(stream, os.environ))


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends, with a message and a code of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Whoever read our output has seen enough; a full disk is another matter.
        if not isinstance(error, BrokenPipeError):
            raise


# --- the process ------------------------------------------------------------------------------------------------


def main() -> NoReturn:
    """Run the command line; every expected failure is one sentence and its exit code."""
    sys.exit(_main())


def _main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # File names and a build's output may hold any bytes.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(standalone_mode=False, prog_name="lineal")
        return 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return BadConfiguration.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _complain(Interrupted("Interrupted; what was published before stays."))
    except LinealError as error:
        return _complain(error)
    except OSError as error:
        return _complain(Unreachable(_os_sentence(error), remedy="Check the disk and its permissions."), error)
    except Exception as error:  # noqa: BLE001
        sentence = f"Something unexpected happened: {type(error).__name__}: {' '.join(str(error).split())}."
        return _complain(LinealError(sentence, remedy="Run it again with --debug and report what it shows."), error)


def _interrupt(number: int, _frame: object) -> None:
    """SIGTERM ends a run like Ctrl-C does: cleanly, with the store as it was published."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def _complain(error: LinealError, cause: BaseException | None = None) -> int:
    if os.environ.get("LINEAL_DEBUG") not in (None, "", "0"):
        import traceback

        traceback.print_exception(cause or error)
    from lineal.report.text import clean, tame

    # It may quote what a registry, a Dockerfile or helm wrote.
    with suppress(OSError):  # nobody reads stderr any more; the exit code still tells
        sys.stderr.write(f"Error: {tame(clean(str(error).replace(chr(10), ' ')))}\n")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            from lineal.report.github import annotation

            sys.stderr.write(annotation(error))
    return _INTERRUPTED if isinstance(error, Interrupted) else error.exit_code


def _os_sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."
