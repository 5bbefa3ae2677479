"""The flags of `docker buildx build`: those that describe an image, those that are not needed here, and those that
are refused with what to do in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lineal.config.image_flags import ImageFlags
from lineal.errors import BadConfiguration
from lineal.text import quoted

_NOTED = "lineal.noted"
_CACHE = "every stage is kept in the store as soon as it is built, and found there along the history"
_ENGINE = "--engine says what runs a RUN, and nothing else needs a builder"
_ALWAYS = "it is always so"
_NOT_NEEDED = {
    "--cache-from": _CACHE,
    "--cache-to": _CACHE,
    "--builder": _ENGINE,
    "--progress": "the log fits the terminal or the CI that it is in",
}
_NOT_NEEDED_SWITCHES = {
    "--rm": _ALWAYS,
    "--force-rm": _ALWAYS,
    "--compress": "no context is sent anywhere",
    "--quiet": "the standard output has the reference alone",
}
_REFUSED = {
    "--attest": "Write --provenance or --sbom; docs/recipes.md attests the digest in a step of its own.",
    "--iidfile": "--report FILE says it, and `config` of the image in it is what docker calls its id.",
    "--metadata-file": "--report FILE says more, and the outputs of a step of GitHub have `metadata`.",
    "--no-cache-filter": "Lineal knows no single target to build anew: give --no-cache for all of them.",
    "--policy": "Write `trust:` into a lineal.yaml, as docs/trust.md shows.",
    "--memory": "Limit the engine, or the job that it runs in.",
    "--memory-swap": "Limit the engine, or the job that it runs in.",
    "--cpu-period": "Limit the engine, or the job that it runs in.",
    "--cpu-quota": "Limit the engine, or the job that it runs in.",
    "--cpu-shares": "Limit the engine, or the job that it runs in.",
    "--cpuset-cpus": "Limit the engine, or the job that it runs in.",
    "--cpuset-mems": "Limit the engine, or the job that it runs in.",
    "--isolation": "It is of Windows, and Lineal builds images of Linux.",
    "--security-opt": "Write RUN --security=… in the Dockerfile where BuildKit has it, or set up the engine.",
}
_REFUSED_SWITCHES = {
    "--pull": "A base is what it was when its stage was built, so that a commit stays what it is: give --no-cache to "
    "take what the tag means today, or write the digest into the FROM.",
    "--check": "`lineal plan` reads the Dockerfile and says what is wrong with it.",
    "--squash": "Gather the files in one `COPY --from` of a last target.",
}


def _noted(context: click.Context, parameter: click.Parameter, value: object) -> None:
    flag = parameter.opts[-1]
    if value:
        why = (_NOT_NEEDED | _NOT_NEEDED_SWITCHES)[flag]
        context.meta.setdefault(_NOTED, {}).setdefault(why, []).append(flag)


def _refused(_context: click.Context, parameter: click.Parameter, value: object) -> None:
    flag = parameter.opts[-1]
    if value:
        raise _refusal(f"{flag} is nothing that Lineal does.", (_REFUSED | _REFUSED_SWITCHES)[flag])


def _provenance(_context: click.Context, _parameter: click.Parameter, value: str | None) -> bool | None:
    known = {None: None, "": None, "true": True, "1": True, "false": False, "0": False}
    if value not in known:
        raise _refusal(f"--provenance {quoted(str(value))} is no statement that Lineal writes.",
                       "It has one kind: give `true`, which is the default, or `false`.")  # fmt: skip
    return known[value]


def _sbom(_context: click.Context, _parameter: click.Parameter, value: str | None) -> bool | str | None:
    known = {None: None, "": None, "true": True, "1": True, "false": False, "0": False}
    if value in known:
        return known[value]
    fields = dict(field.partition("=")[::2] for field in str(value).split(","))
    if fields.keys() != {"generator"} or not fields["generator"]:
        raise _refusal(f"--sbom {quoted(str(value))} names no scanner.",
                       "Give `true`, `generator=IMAGE` or `false`.")  # fmt: skip
    return fields["generator"]


def _call(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value and value != "build":
        raise _refusal(f"--call {quoted(value)} is nothing that Lineal does.", _REFUSED_SWITCHES["--check"])


def _network(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value in (None, "", "default"):
        return None
    if value != "host":
        raise _refusal(f"--network {quoted(str(value))} is no network of a whole build.",
                       "Write RUN --network=none in the Dockerfile, or give `default` or `host`.")  # fmt: skip
    return value


def _refusal(what: str, remedy: str) -> BadConfiguration:
    return BadConfiguration(what, id="LN-1052", remedy=remedy)


def _described(flag: str, help: str, *short: str, **extra: Any) -> Callable[[Any], Any]:
    name = flag.removeprefix("--").replace("-", "_")
    return click.option(*short, flag, f"image_{name}", help=f"{help}  (Without a lineal.yaml.)", **extra)


def _words(flag: str) -> tuple[str, ...]:
    return ("-q", flag) if flag == "--quiet" else (flag,)


DESCRIBE: list[Callable[[Any], Any]] = [
    _described("--file", "The Dockerfile, by default PATH/Dockerfile.", "-f", metavar="FILE"),
    _described("--target", "The `FROM … AS name` to build.", metavar="NAME"),
    _described("--build-arg", "A build argument. May be repeated.", multiple=True, metavar="NAME[=VALUE]"),
    _described("--build-context", "What a name in the Dockerfile stands for: a directory, docker-image://REFERENCE "
               "or a git repository at a commit. May be repeated.", multiple=True, metavar="NAME=CONTEXT"),
    _described("--tag", "A name of the image, for --push and --load. May be repeated.", "-t", multiple=True,
               metavar="NAME[:TAG]"),
    _described("--label", "A label of the image. May be repeated.", multiple=True, metavar="KEY=VALUE"),
    _described("--annotation", "An annotation of the image that is pushed. May be repeated.", multiple=True,
               metavar="KEY=VALUE"),
    _described("--add-host", "A host that a RUN knows. May be repeated.", multiple=True, metavar="HOST:ADDRESS"),
    _described("--shm-size", "The size of /dev/shm for a RUN.", metavar="SIZE"),
    _described("--ulimit", "A limit for a RUN. May be repeated.", multiple=True, metavar="NAME=SOFT[:HARD]"),
    _described("--cgroup-parent", "The control group of a RUN.", metavar="NAME"),
    _described("--no-cache", "Build every stage anew, for this run alone.", is_flag=True),
]  # fmt: skip
DOCKER: list[Callable[[Any], Any]] = [
    _described("--push", "Publish the image under the names of --tag.", is_flag=True),
    click.option("--network", "docker_network", hidden=True, callback=_network),
    *(click.option(*_words(flag), hidden=True, multiple=True, expose_value=False, callback=_noted)
      for flag in _NOT_NEEDED),
    *(click.option(*_words(flag), hidden=True, is_flag=True, expose_value=False, callback=_noted)
      for flag in _NOT_NEEDED_SWITCHES),
    *(click.option(flag, hidden=True, multiple=True, expose_value=False, callback=_refused) for flag in _REFUSED),
    *(click.option(flag, hidden=True, is_flag=True, expose_value=False, callback=_refused)
      for flag in _REFUSED_SWITCHES),
    click.option("--provenance", "image_provenance", hidden=True, callback=_provenance),
    click.option("--sbom", "image_sbom", hidden=True, callback=_sbom),
    click.option("--call", hidden=True, expose_value=False, callback=_call),
]  # fmt: skip


def take(given: dict[str, Any], words: tuple[str, ...]) -> None:
    """Put the flags of an image into one, `image`, as `Options` has it, and outputs that have a flag into that."""
    found = {name: given.pop(name) for name in list(given) if name.startswith("image_")}
    values = {name.removeprefix("image_"): value for name, value in found.items() if value is not None}
    if given.get("build_output"):
        given["build_output"] = tuple(text for text in given["build_output"] if not _as_flag(text, given, values))
    given["image"] = ImageFlags(words=words, **values)
    if network := given.pop("docker_network", None):
        given["engine_network"] = given.get("engine_network") or network


def _as_flag(output: str, given: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether a flag says the same as an `--output`: it is set then."""
    fields = dict(field.partition("=")[::2] for field in output.split(","))
    kind = fields.get("type")
    if kind in ("registry", "image"):
        if unknown := sorted(fields.keys() - {"type", "push", "name"}):
            remedy = "Leave that out; `publish:` of a lineal.yaml says how finished images are written."
            raise _refusal(f"--output {quoted(output)} has `{unknown[0]}`, which Lineal has not.", remedy)
        values["push"] = values.get("push") or kind == "registry" or fields.get("push") == "true"
        values["tag"] = (*values.get("tag", ()), *([fields["name"]] if "name" in fields else ()))
    elif kind == "docker" and fields.keys() == {"type"}:
        given["load"] = True
    return kind in ("registry", "image", "cacheonly") or (kind == "docker" and fields.keys() == {"type"})


def notes() -> list[str]:
    """A sentence about each reason for which given flags are not needed."""
    found: dict[str, list[str]] = click.get_current_context().meta.get(_NOTED, {})
    return [
        f"{' and '.join(flags)} {'are' if len(flags) > 1 else 'is'} not needed: {why}."
        for why, flags in found.items()
    ]
