"""The options that commands share, each with its `LINEAL_*` equivalent in the help."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from lineal.config.model import MOST_DAYS
from lineal.config.setting import variable_of

F = TypeVar("F", bound=Callable[..., Any])


def options(*groups: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for add in reversed([add for group in groups for add in group]):
            function = add(function)
        return function

    return decorate


def option(name: str, help: str, *parameter: str, variable: str = "", **extra: Any) -> Callable[[F], F]:
    """An option whose environment equivalent is `LINEAL_<NAME>`, or `variable`; the help says so. `parameter` is its
    name in the function, by default its own."""
    variable = variable or variable_of(name.split("/")[0].removeprefix("--"))
    return click.option(name, *parameter, help=f"{help}  [{variable}]", default=extra.pop("default", None), **extra)


def set_debug(wanted: bool) -> None:
    if wanted:
        os.environ["LINEAL_DEBUG"] = "1"


_NAMES: list[Callable[[Any], Any]] = [
    option("--env", "The environment's name, for templates and default release names.", metavar="NAME"),
    option("--var", "A value for templates: vars.NAME. May be repeated.", metavar="NAME=VALUE", multiple=True),
]  # fmt: skip
_INSECURE = option("--insecure-registry", "A registry host that speaks plain http. May be repeated.", metavar="HOST",
                   multiple=True)  # fmt: skip
_DEBUG = click.option("--debug", is_flag=True, expose_value=False, callback=lambda _, __, debug: set_debug(debug),
                      help="Show a traceback when something unexpected happens.  [LINEAL_DEBUG]")  # fmt: skip
DEBUG: list[Callable[[Any], Any]] = [_DEBUG]
FETCH: list[Callable[[Any], Any]] = [_INSECURE, _DEBUG]
AWAY: list[Callable[[Any], Any]] = [*_NAMES, *FETCH]
"""For commands that need no repository."""
NAMES: list[Callable[[Any], Any]] = [*_NAMES, _DEBUG]
REPORT: list[Callable[[Any], Any]] = [
    option("--report", "Write a JSON report of the run to this file.", metavar="FILE"),
    option("--report-html", "Write the report as a page for people to this file.", metavar="FILE"),
]
STORE: list[Callable[[Any], Any]] = [
    option("--repo", "The store: HOST/REPOSITORY, or layout:PATH for a directory.", metavar="STORE"),
    *_NAMES,
    _INSECURE,
]
POLICY: list[Callable[[Any], Any]] = [
    option("--policy", "A file with `trust:` as in lineal.yaml: whom to believe. Its keys are beside it.",
           metavar="FILE"),
]  # fmt: skip
_ENGINE: list[Callable[[Any], Any]] = [
    option(
        "--engine",
        "What executes RUN: auto, docker, buildkit, buildkit:ADDRESS, buildkitd or runc.",
        metavar="ENGINE",
    ),
    option("--engine-network", "The network of a RUN that names none: default or host.", metavar="NETWORK"),
]  # fmt: skip
COMMAND: list[Callable[[Any], Any]] = [
    option("--secret", "A secret for RUN --mount=type=secret. May be repeated.", multiple=True,
            metavar="id=ID,env=VARIABLE|src=FILE"),
    option("--ssh", "An SSH agent for RUN --mount=type=ssh. May be repeated.", multiple=True,
            metavar="ID[=SOCKET]"),
    option("--allow", "What the commit may do: network.host, security.insecure or device in a RUN, publish unproven. "
            "May be repeated.",
            metavar="ENTITLEMENT", multiple=True),
    *_ENGINE,
]  # fmt: skip
"""What a RUN is executed with."""
VERIFY: list[Callable[[Any], Any]] = [*POLICY, *STORE, *COMMAND, _DEBUG]
RUN: list[Callable[[Any], Any]] = [
    *STORE,
    option("--platform", "What the images are built for; those of their `platforms` that this run builds.",
            metavar="PLATFORM[,...]", multiple=True),
    option("--ignore-uncommitted", "Build the commit although files it reads have uncommitted changes.",
            is_flag=True),
    option("--dev", "Build the working tree as if it were committed; nobody inherits the result.", is_flag=True),
    *REPORT,
    _DEBUG,
]  # fmt: skip
BUILD: list[Callable[[Any], Any]] = [
    *COMMAND,
    option("--jobs", "How many stages to build at once (default 4).", type=click.IntRange(min=1), metavar="N"),
    option("--lock", "What keeps runs from publishing the same stage twice: auto, file, git, kubernetes[:NAMESPACE], "
            "etcd:https://HOST:PORT or none.", metavar="LOCK"),
    option("--registry-mirror", "A mirror of Docker Hub to take base images from. May be repeated.",
            metavar="HOST[:PORT][/PATH]", multiple=True),
    option("--overwrite-tag", "Move tags of finished images that name a version, or that history keeps back.",
            is_flag=True),
    option("--no-cache-mounts", "Let every cache mount begin empty, and keep none.", is_flag=True),
]  # fmt: skip
EXPORT: list[Callable[[Any], Any]] = [
    option("--load", "Put the finished images into the Docker Engine of this machine.", is_flag=True),
    option("--output", "Write the finished images to an archive; `-` is the standard output. May be repeated.",
            "-o", "build_output", variable="LINEAL_BUILD_OUTPUT", metavar="type=oci|docker,dest=FILE", multiple=True),
]  # fmt: skip
FOLLOW: list[Callable[[Any], Any]] = [
    click.option("--follow", is_flag=True, help="With --dev: run again after each change of a file, until Ctrl-C."),
]
DOTENV: list[Callable[[Any], Any]] = [
    option("--dotenv", "Write the images' references as variables for later jobs of a GitLab pipeline.",
            metavar="FILE"),
]  # fmt: skip
TARGET: list[Callable[[Any], Any]] = [
    option("--release", "The Helm release's name.", metavar="NAME"),
    option("--namespace", "The namespace it goes to.", metavar="NAME"),
]
SCHEMA: list[Callable[[Any], Any]] = [
    option("--skip-schema-validation", "Do not check the values against the chart's values.schema.json.",
            is_flag=True),
]  # fmt: skip
RELEASE: list[Callable[[Any], Any]] = [
    *TARGET,
    *SCHEMA,
    option("--values", "One more values file. May be repeated; later ones win.", metavar="FILE", multiple=True),
    option("--set", "A single value, as for helm. May be repeated; wins over files.", metavar="KEY=VALUE",
            multiple=True),
]  # fmt: skip
CONTEXT: list[Callable[[Any], Any]] = [
    option("--kube-context", "The kubeconfig context of the cluster.", metavar="NAME"),
]
DOCTOR: list[Callable[[Any], Any]] = [*STORE, *_ENGINE, *TARGET, *CONTEXT, _DEBUG]
PLACE: list[Callable[[Any], Any]] = [
    *CONTEXT,
    option("--timeout", "How long to wait until the release is ready, such as 10m.", metavar="DURATION"),
]
SERVER_SIDE: list[Callable[[Any], Any]] = [
    option(
        "--server-side",
        "With Helm 4: let the API server apply the manifests, and take over fields that somebody else has.",
        is_flag=True,
    ),
]
CLUSTER: list[Callable[[Any], Any]] = [
    *PLACE,
    option(
        "--take-ownership",
        "Take over objects of the chart that are in the cluster already, whoever made them.",
        is_flag=True,
    ),
    *SERVER_SIDE,
    option(
        "--skip-unchanged/--no-skip-unchanged",
        "Deploy nothing when the manifests are what was deployed before (default yes).",
        is_flag=True,
    ),
]
CLEANUP: list[Callable[[Any], Any]] = [
    *STORE,
    option("--keep-days", "Keep what was published in so many days (default 30); 0 for no such rule.",
            type=click.IntRange(0, MOST_DAYS), metavar="N"),
    option("--ignore-ref", "A branch or tag whose stages need not be kept, such as feature/*. May be repeated.",
            metavar="GLOB", multiple=True),
    option("--kube-context", "A cluster whose images are kept. May be repeated.", "kube_contexts", metavar="NAME",
            multiple=True),
    option("--dry-run", "Say what would be deleted, and delete nothing.", is_flag=True),
    _DEBUG,
]  # fmt: skip
