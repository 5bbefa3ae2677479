"""Lineal: container images along the line of git history.

A program does what a command does with the names below; `docs/library.md` shows one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineal.build.result import BuildResult as BuildResult
    from lineal.commands.build import build_images as build_images
    from lineal.commands.deploy import deploy_release as deploy_release
    from lineal.commands.plan import plan_images as plan_images
    from lineal.commands.render import render_release as render_release
    from lineal.deploy.inputs import ReleaseInputs as ReleaseInputs
    from lineal.errors import LinealError as LinealError
    from lineal.session.session import Session as Session
    from lineal.session.settings import Settings as Settings
    from lineal.stages.plan import BuildPlan as BuildPlan

__version__ = "0.1.0"

_PLACES = {
    "BuildPlan": "lineal.stages.plan",
    "BuildResult": "lineal.build.result",
    "LinealError": "lineal.errors",
    "ReleaseInputs": "lineal.deploy.inputs",
    "Session": "lineal.session.session",
    "Settings": "lineal.session.settings",
    "build_images": "lineal.commands.build",
    "deploy_release": "lineal.commands.deploy",
    "plan_images": "lineal.commands.plan",
    "render_release": "lineal.commands.render",
}


def __getattr__(name: str) -> Any:
    """The names of the library, imported when they are first used: the command line pays only for what it needs."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
