"""Every expected failure: one plain sentence, where it is, what to do, its id, and its exit code (DESIGN §3).

One class of failure has one id, for ever: docs/errors.toml gives the next number and says the cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """Where an error is: a file of the commit, its line (from 1) and, in YAML, the key."""

    file: str
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        text = self.file if self.line is None else f"{self.file}:{self.line}"
        return text if self.key is None else f"{text}: {self.key}"


class LinealError(Exception):
    """An expected failure. `message` says what is wrong, `remedy` what to do; never a secret. `id` is one of
    docs/errors.md, which explains this class of failure."""

    exit_code = 1
    others: tuple[LinealError, ...] = ()
    """What else is wrong, where several failures were found before the run ended: see `Problems`."""

    def __init__(self, message: str, *, id: str, place: Location | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.id = id
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        """A line for each failure."""
        return "\n".join(f"{error.words} [{error.id}]" for error in self.every())

    def every(self) -> tuple[LinealError, ...]:
        """This failure and those that were found with it."""
        return (self, *self.others)

    @property
    def words(self) -> str:
        """Place, sentence and remedy without the id: for a sentence of somebody else."""
        text = self.message if self.place is None else f"{self.place}: {self.message}"
        return text if self.remedy is None else f"{text} {self.remedy}"


class BuildFailed(LinealError):
    """A `RUN` or an assembly failed."""


class DeployFailed(LinealError):
    """Helm or the chart failed."""


class BadConfiguration(LinealError):
    """Configuration, Dockerfile or usage is wrong, or asks for what is not supported."""

    exit_code = 3


class Uncommitted(LinealError):
    """Files that the build reads differ from the commit."""

    exit_code = 4


_MOST = 100
"""Failures that a run tells of at most."""


class Problems:
    """Collects what is wrong with the input, so that a run says all of it: files in the order in which they were
    found wrong, the lines of each in theirs. What a machine or a network does ends a run at once."""

    def __init__(self) -> None:
        self._found: dict[str, LinealError] = {}
        """By its text: what several images have in common is wrong once."""

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, error: LinealError) -> None:
        if len(self._found) >= _MOST:
            return
        for one in error.every():
            one.others = ()
            self._found.setdefault(str(one), one)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keeps the failure that the block ends with, and goes on behind it."""
        try:
            yield
        except (BadConfiguration, Uncommitted) as error:
            self.add(error)

    def end(self) -> None:
        """Raises the first failure with the `others`; does nothing when there is none."""
        files = list(dict.fromkeys(_file(error) for error in self._found.values()))
        ordered = sorted(self._found.values(), key=lambda error: (files.index(_file(error)), _line(error)))
        if ordered:
            first, *others = ordered
            first.others = tuple(others)
            raise first


def _file(error: LinealError) -> str:
    return error.place.file if error.place else ""


def _line(error: LinealError) -> int:
    return (error.place and error.place.line) or 0


class Unreachable(LinealError):
    """A registry, cluster, engine or disk could not be used: down, refused, full."""

    exit_code = 5


class MissingContent(Unreachable):
    """A manifest or blob that should be in the store is not; its stage counts as absent (DESIGN §6)."""

    def __init__(self, digest: str, where: str) -> None:
        super().__init__(f"{digest} is missing in {where}.", id="LN-4020")
        self.digest = digest


class Interrupted(LinealError):
    """SIGINT or SIGTERM."""

    exit_code = 130

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message, id="LN-9002", remedy=remedy)


def as_lineal_error(error: BaseException) -> LinealError:
    """The failure as people see it: any exception of a run as a `LinealError`."""
    if isinstance(error, LinealError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted; what was published before stays.")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        sentence = f"{where}{error.strerror or error}."
        return Unreachable(sentence, id="LN-9003", remedy="Check the disk and its permissions.")
    sentence = f"Something unexpected happened: {type(error).__name__}: {' '.join(str(error).split())}."
    return LinealError(sentence, id="LN-9001", remedy="Run it again with --debug and report what it shows.")


def missing_program(environ: Mapping[str, str]) -> str:
    """What to do when this run lacks a program of the job (a credential helper, a login of a kubeconfig): a sentence
    for the container of the GitHub Action, nothing elsewhere."""
    if not environ.get("LINEAL_ACTION_WORKSPACE"):
        return ""
    action = environ.get("GITHUB_ACTION_REPOSITORY") or "your_org/lineal"
    return f"The container of this action has no program of the job: {action}/setup puts lineal on the runner itself."
