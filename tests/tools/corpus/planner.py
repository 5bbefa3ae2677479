"""One Dockerfile planned in all the ways in which its project builds it: accepted, refused, or a crash."""

from __future__ import annotations

import resource
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

import lineal
from lineal.config.load import load
from lineal.config.model import FILE
from lineal.init.build import GUESSED, Build
from tests.tools.corpus.checkout import ENVIRONMENT

NAME = "planned-by-corpus"
"""Of the image in lineal.yaml: no base is called like this."""
Verdict = Literal["accepted", "refused", "crashed"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one build. `id` and `message` are those of a refusal; of a crash, the message alone."""

    build: Build
    verdict: Verdict
    id: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a Dockerfile; `seconds` of a processor and MiB of memory are those of its process."""

    attempts: tuple[Attempt, ...]
    seconds: float = 0.0
    memory: int = 0

    @property
    def worst(self) -> Attempt:
        """The attempt that counts: the first crash, else the first refusal. Of contexts that were guessed, one that
        is accepted is enough."""
        order: list[Verdict] = ["crashed", "refused", "accepted"]
        if all(attempt.build.source == GUESSED for attempt in self.attempts):
            order = ["crashed", "accepted", "refused"]
        return min(self.attempts, key=lambda attempt: order.index(attempt.verdict))


@dataclass
class Heard:
    """A `Progress` that keeps what people would have been told."""

    said: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.said.append(text)

    warn = note

    def begin(self, stage: str) -> None: ...

    def output(self, stage: str, line: str) -> None: ...

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None: ...

    def close(self) -> None: ...


def plan(checkout: Path, builds: Sequence[Build]) -> Outcome:
    """All builds of one Dockerfile, in a process that ends afterwards."""
    attempts = tuple(attempt(checkout, build) for build in builds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Outcome(attempts, round(used.ru_utime + used.ru_stime, 3), used.ru_maxrss >> 10)


def attempt(checkout: Path, build: Build) -> Attempt:
    heard = Heard()
    try:
        _plan(checkout, build, heard)
    except lineal.LinealError as error:
        return Attempt(build, "refused", error.id, error.words, tuple(heard.said))
    except Exception as error:  # noqa: BLE001 (this is what is looked for)
        place = traceback.extract_tb(error.__traceback__)[-1]
        last = traceback.format_exception_only(error)[-1].strip()
        return Attempt(
            build, "crashed", "", f"{last} ({Path(place.filename).name}:{place.lineno})", tuple(heard.said)
        )
    return Attempt(build, "accepted", notes=tuple(heard.said))


def _plan(checkout: Path, build: Build, heard: Heard) -> None:
    """As `lineal plan` of a commit that has this lineal.yaml, with an empty store. Nothing of it needs a network."""
    with tempfile.TemporaryDirectory(prefix="lineal-corpus-") as scratch:
        settings = lineal.Settings.of(
            repo=f"layout:{scratch}/store", lock="none", ignore_uncommitted=True,
            environ={**ENVIRONMENT, "HOME": scratch},
        )  # fmt: skip
        with lineal.Session.open(settings, checkout, heard) as session:
            session.loaded = load(
                configuration(build), file=FILE, env=None, vars={}, git=session.git_facts, environ={},
                giterminism=session.giterminism,
            )  # fmt: skip
            lineal.plan_images(session)


def configuration(build: Build) -> str:
    """The lineal.yaml of one build."""
    image = {"dockerfile": build.dockerfile, "context": build.context, "args": dict(build.args)}
    if build.target:
        image["target"] = build.target
    text = yaml.safe_dump({"project": "corpus", "images": {NAME: image}}, allow_unicode=True)
    return f"{{% raw %}}{text}{{% endraw %}}"
