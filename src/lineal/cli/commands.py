"""The commands: click parses, a verb of `commands/` works. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lineal import __version__
from lineal.ci.provider import job_writers
from lineal.cli.bundles import bundle
from lineal.cli.completion import SHELLS, image_names, script
from lineal.cli.flags import (
    BUILD,
    CLEANUP,
    CLUSTER,
    CONTEXT,
    DEBUG,
    DOCTOR,
    DOTENV,
    EXPORT,
    FOLLOW,
    NAMES,
    PLACE,
    RELEASE,
    REPORT,
    RUN,
    SERVER_SIDE,
    TARGET,
    VERIFY,
    option,
    options,
    set_debug,
)
from lineal.cli.image_flags import DESCRIBE, DOCKER, notes, take
from lineal.cli.runtime import session_of
from lineal.errors import BadConfiguration, Unreachable

if TYPE_CHECKING:
    from lineal.session.session import Session

_PENDING = 2


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    """A job of a matrix may name several images in one word, with blanks between: no image has one in its name."""
    return tuple(name for word in given for name in word.split() or [word])


def _run(given: dict[str, Any], run: Callable[[Session], None], again: bool) -> None:
    """Once, or with `--follow` again and again."""
    if again:
        from lineal.cli.follow import follow

        follow(given, run)
    from lineal.git.beside import opened_beside

    checkout = opened_beside()
    with session_of(given) as session:
        session.expect_checkout(checkout)
        run(session)


_images = click.argument("images", nargs=-1, metavar="[IMAGE]...|[PATH]", shell_complete=image_names)


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end without a word. Not our own output (see `output.show`): a process or a server ended.
            what = "A program or a server that Lineal was talking to ended in the middle."
            raise Unreachable(what, id="LN-9004", remedy="Run it again; what was published before stays.") from error


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
    set_debug(debug)


@cli.command(epilog="\b\nExamples:\n  lineal plan\n  lineal plan --format json --repo registry.example.com/team/app\n"
             "  lineal plan --exit-code || echo 'there is work'\n"
             "  lineal plan --diff --env prod --kube-context prod")  # fmt: skip
@_images
@options(RUN, DESCRIBE)
@option("--format", "A table, the report as JSON, or jobs for the images that need work: GitHub's matrix, or a child "
        "pipeline for GitLab.", type=click.Choice(["table", "json", *job_writers({})]),
        envvar="LINEAL_FORMAT")  # fmt: skip
@option("--template", "For --format gitlab: a YAML file with what every job has: image, services, variables, tags.",
        metavar="FILE")  # fmt: skip
@option("--runner", "The label (matrix) or tags (gitlab) of the runners for a platform. May be repeated.",
        metavar="PLATFORM=LABEL[,...]", multiple=True)  # fmt: skip
@option("--exit-code", "Exit with 2 when there is work.", is_flag=True, envvar="LINEAL_EXIT_CODE")
@option("--diff", "Ask the cluster, and show what a deploy would change there.", is_flag=True)
@options(RELEASE, CONTEXT)
def plan(images: tuple[str, ...], format: str | None, exit_code: bool | None, **given: Any) -> None:
    """Show what would be built, and why. Builds and writes nothing."""
    from lineal.commands.plan import plan

    take(given, images)
    with session_of(given) as session:
        work = plan(session, _names(images), format or "table")
    if exit_code and work:
        sys.exit(_PENDING)


@cli.command(epilog="\b\nExamples:\n  lineal build\n  docker run --rm $(lineal build api)\n"
             "  lineal build --dev --repo layout:/tmp/store\n"
             "  lineal build --load --output type=oci,dest=images.tar\n"
             "  lineal build -f docker/Dockerfile -t registry.example.com/app:1.0 --push .")  # fmt: skip
@_images
@options(RUN, BUILD, FOLLOW, EXPORT, DOTENV, DESCRIBE, DOCKER)
def build(images: tuple[str, ...], follow: bool, **given: Any) -> None:
    """Build and publish the stages that are missing; print the images' references.

    With one IMAGE its reference alone is printed, otherwise a line `NAME REFERENCE` for each. Without a lineal.yaml,
    flags of `docker buildx build` describe the image, and PATH is its context.
    """
    take(given, images)

    def run(session: Session) -> None:
        from lineal.commands.build import build

        for note in notes():
            session.progress.note(note)
        build(session, _names(images))

    _run(given, run, follow)


@cli.command(
    epilog="\b\nExamples:\n  lineal render --env staging | kubectl diff -f -\n"
    "  lineal render --env prod --output manifests/\n"
    "  lineal render --template shop.nomad.hcl.j2 | nomad job run -\n"
    "  lineal render --env prod --to-git https://git.example.com/acme/envs.git --branch main --path prod"
)
@options(RUN, RELEASE)
@option("--template", "Render this text of the commit with Jinja2 in place of the release. May be repeated.",
        "render_template", variable="LINEAL_RENDER_TEMPLATE", metavar="FILE", multiple=True)  # fmt: skip
@option("--output", "Write one file for each template there instead of printing.", metavar="DIR",
        envvar="LINEAL_OUTPUT")  # fmt: skip
@option("--kube-version", "The Kubernetes version that templates see.", metavar="VERSION")
@option("--api-versions", "An API that templates see (`.Capabilities.APIVersions`). May be repeated.",
        metavar="GROUP/VERSION[/KIND]", multiple=True)  # fmt: skip
@option("--no-hooks", "Leave hooks out, tests too.", is_flag=True, envvar="LINEAL_NO_HOOKS")
@option("--with-namespace", "Add the namespace as an object, and its name to those that belong there.", is_flag=True,
        envvar="LINEAL_WITH_NAMESPACE")  # fmt: skip
@option("--kustomization", "Write a kustomization.yaml that lists the files.", is_flag=True,
        envvar="LINEAL_KUSTOMIZATION")  # fmt: skip
@option("--to-git", "Commit the manifests to another repository, one file for each object; print the commit.", "url",
        metavar="URL", envvar="LINEAL_TO_GIT")  # fmt: skip
@option("--branch", "The branch of --to-git.", variable="LINEAL_TO_GIT_BRANCH", envvar="LINEAL_TO_GIT_BRANCH",
        metavar="NAME")  # fmt: skip
@option("--path", "The directory of --to-git, or with --values-only the file (default: the root).",
        variable="LINEAL_TO_GIT_PATH", envvar="LINEAL_TO_GIT_PATH", metavar="PATH")  # fmt: skip
@option("--values-only", "Commit one file with the values, digests included, and no manifests.", is_flag=True,
        envvar="LINEAL_VALUES_ONLY")  # fmt: skip
def render(
    output: str | None, url: str | None, branch: str | None, path: str | None, values_only: bool | None,
    no_hooks: bool | None, with_namespace: bool | None, kustomization: bool | None, **given: Any,
) -> None:  # fmt: skip
    """Print the manifests with the images' digests, or any text that names images (`--template`).

    Manifests need helm, but no cluster; every image must be published.
    """
    from lineal.commands.render import render
    from lineal.deploy.handover import Destination
    from lineal.deploy.render import Shape

    to = Destination(output, url, branch, path, bool(values_only))
    with session_of(given) as session:
        render(session, to, Shape(not no_hooks, bool(with_namespace), bool(kustomization)))


@cli.command(epilog="\b\nExamples:\n  lineal deploy --env staging\n"
             "  lineal deploy --env prod --kube-context prod --timeout 15m")  # fmt: skip
@options(RUN, DOTENV, RELEASE, CLUSTER)
def deploy(**given: Any) -> None:
    """Install or upgrade the Helm release with the images' digests, and wait until it is ready.

    Refuses when an image of this commit is not published. A release that does not become ready is rolled back.
    """
    from lineal.commands.deploy import deploy

    with session_of(given) as session:
        deploy(session)


@cli.command(epilog="\b\nExamples:\n  lineal converge --env staging\n"
             "  lineal converge --env prod --repo registry.example.com/team/app --report report.json")  # fmt: skip
@options(RUN, BUILD, FOLLOW, DOTENV, RELEASE, CLUSTER)
def converge(follow: bool, **given: Any) -> None:
    """Build what is missing, then deploy: the main job of a pipeline."""
    from lineal.commands.deploy import converge

    _run(given, converge, follow)


@cli.command(epilog="\b\nExamples:\n  lineal dismiss --env review-42 --with-namespace\n"
             "  lineal dismiss --release shop-review-42 --namespace shop-review-42")  # fmt: skip
@options(NAMES, REPORT, TARGET, PLACE)
@click.option("--with-namespace", is_flag=True, help="Delete its namespace too, unless other releases are in it.")
@click.option("--delete-kept", is_flag=True,
              help="Delete the namespace also when it has objects that the chart wants kept.")  # fmt: skip
def dismiss(with_namespace: bool, delete_kept: bool, **given: Any) -> None:
    """Uninstall the Helm release, as at the end of a review app. Nothing there is nothing to do.

    With --release and --namespace no repository is needed.
    """
    from lineal.commands.dismiss import dismiss

    with session_of(given) as session:
        dismiss(session, with_namespace=with_namespace, delete_kept=delete_kept)


@cli.command(epilog="\b\nExamples:\n  lineal rollback --env prod\n  lineal rollback 12 --env prod --timeout 15m")
@click.argument("revision", type=click.IntRange(min=1), required=False, metavar="[REVISION]")
@options(NAMES, REPORT, TARGET, PLACE, SERVER_SIDE)
def rollback(revision: int | None, **given: Any) -> None:
    """Take the Helm release back to REVISION, by default the last one that worked, and wait until it is ready.

    With --release and --namespace no repository is needed.
    """
    from lineal.commands.rollback import rollback

    with session_of(given) as session:
        rollback(session, revision)


@cli.command(epilog="\b\nExample:\n  lineal drift --env prod || echo 'somebody was there'")
@options(NAMES, REPORT, TARGET, CONTEXT)
def drift(**given: Any) -> None:
    """Show what in the cluster differs from what was deployed, object by object; exit with 2 when anything does.

    Fields that controllers own, such as the replicas of an autoscaler, are left out. Nothing is changed. With
    --release and --namespace no repository is needed.
    """
    from lineal.commands.drift import drift

    with session_of(given) as session:
        drifted = drift(session)
    if drifted:
        sys.exit(_PENDING)


_FOR_COMMANDS = ("secret", "ssh", "allow", "engine", "engine_network")


@cli.command(epilog="\b\nExamples:\n  lineal verify registry.example.com/team/shop/api:1.4.2\n"
             "  lineal verify --format json $(lineal build api)\n"
             "  lineal verify --rebuild api:12 --secret id=token,env=TOKEN")  # fmt: skip
@click.argument("reference", metavar="REFERENCE", required=False)
@options(VERIFY)
@click.option(
    "--rebuild",
    metavar="STAGE",
    help="Instead: run the RUN at IMAGE:LINE with its cache mounts and without, and compare the layers.",
)
@click.option("--format", "format", type=click.Choice(["tree", "json"]), default="tree",
              help="A tree for people (default), or JSON.")  # fmt: skip
@click.option("--attest", is_flag=True, help="Sign a summary of it for clusters with the run's key or identity, when "
              "all is well.")  # fmt: skip
def verify(reference: str | None, rebuild: str | None, format: str, attest: bool, **given: Any) -> None:
    """Say what an image rests on: which of its stages git proves, who vouches for the others, what its base is.

    Exits with 1 when something is not what it claims to be, with 2 when something rests on nobody's word.
    """
    from lineal.commands.verify import verify

    if (reference is None) == (rebuild is None):
        raise BadConfiguration(
            "`lineal verify` takes a REFERENCE or --rebuild STAGE.", id="LN-1016", remedy="Give one of them."
        )
    unused = next((name for name in _FOR_COMMANDS if given[name]), None)
    if rebuild is None and unused is not None:
        what = f"--{unused.replace('_', '-')} is for --rebuild: nothing else executes a RUN."
        raise BadConfiguration(what, id="LN-1016", remedy="Give both, or neither.")
    with session_of(given) as session:
        if rebuild is not None:
            from lineal.commands.rebuild import rebuild as compare

            compare(session, rebuild)
            return
        assert reference is not None
        code = verify(session, reference, format, attest=attest)
    if code:
        sys.exit(code)


@cli.command(epilog="\b\nExamples:\n  lineal cleanup --dry-run\n"
             "  lineal cleanup --keep-days 90 --kube-context prod --kube-context staging")  # fmt: skip
@options(CLEANUP)
def cleanup(**given: Any) -> None:
    """Delete the stages that no branch, no tag and no cluster needs and that are not young; print their tags."""
    from lineal.commands.cleanup import clean_up

    with session_of(given) as session:
        clean_up(session)


@cli.command(epilog="\b\nExample:\n  lineal config --env prod")
@options(RUN, BUILD, RELEASE, CLUSTER)
def config(**given: Any) -> None:
    """Print the resolved configuration, each value with where it came from."""
    from lineal.commands.config import config

    with session_of(given) as session:
        config(session)


@cli.command(epilog="\b\nExamples:\n  lineal init --dry-run\n  lineal init --ci github")
@click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Write the pipeline too.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@options(DEBUG)
def init(ci: str | None, dry_run: bool, **given: Any) -> None:
    """Write a lineal.yaml of what the repository has: Dockerfiles, compose and bake files, pipelines, a chart.

    Each key has a comment that says where it came from. No file is written over.
    """
    from lineal.commands.init import init

    with session_of(given) as session:
        init(session, ci, dry_run=dry_run)


@cli.command(
    epilog="\b\nExamples:\n  lineal doctor\n  lineal doctor --repo registry.example.com/team/app --format json"
)
@options(DOCTOR)
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text",
              help="Lines for people (default), or JSON.")  # fmt: skip
def doctor(format: str, **given: Any) -> None:
    """Ask what a run needs, and say what to do: history, project, registry, clock, engine, helm, cluster.

    Nothing is left behind. Exits with 0 when a run would find all it needs, else as that run would.
    """
    from lineal.commands.doctor import doctor

    with session_of(given) as session:
        code = doctor(session, format)
    if code:
        sys.exit(code)


@cli.command(epilog="\b\nExamples:\n  source <(lineal completion bash)\n"
             "  lineal completion fish > ~/.config/fish/completions/lineal.fish")  # fmt: skip
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what completes commands, options and names of images in a shell."""
    from lineal.commands.output import show

    show(script(shell, cli))


@cli.command(epilog="\b\nExample:\n  lineal schema > lineal.schema.json")
def schema() -> None:
    """Print the JSON Schema of lineal.yaml, the one it is checked against."""
    import json

    from lineal.commands.output import show
    from lineal.config.schema import schema as make

    show(json.dumps(make(), indent=2) + "\n")


cli.add_command(bundle)
