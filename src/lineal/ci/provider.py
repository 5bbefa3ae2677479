"""The providers of CI that Lineal knows, and the one that runs it now.

A new provider is a folder beside `github/` with a class that has the methods of `Provider`, and a line in
`PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from lineal.ci.context import Context, GitReader
from lineal.ci.github.provider import GitHub
from lineal.ci.gitlab.provider import GitLab
from lineal.ci.local import Local
from lineal.ci.results import ResultFiles
from lineal.errors import LinealError
from lineal.oci.credential import Credential
from lineal.text import one_line

if TYPE_CHECKING:
    from lineal.ci.jobs import JobSettings
    from lineal.report.log import Markers
    from lineal.report.model import ErrorReport, Report


class Provider(Protocol):
    """A CI as one run sees it: made from the run's environment. No method fails because the run is in another CI:
    what its environment does not say is empty."""

    name: ClassVar[str]
    """As in `Context.provider` and in reports."""
    title: ClassVar[str]
    """For people."""

    @property
    def is_here(self) -> bool:
        """Whether this run is a job of the provider."""

    def context(self, git: GitReader) -> Context:
        """The commit and what the CI says about it. HEAD is always the commit that is built.

        Raises `BadConfiguration` when the CI's variables or event payload make no sense."""

    def markers(self) -> Markers | None:
        """How a job's log marks groups and warnings; None when the log is a terminal or a plain file. A log with
        markers shows colour."""

    def annotation(self, error: LinealError) -> str:
        """A line for stderr that shows the error beside the code, empty when there is nothing like it."""

    def guarded(self, text: str) -> str:
        """A result for stdout, so that no line of it is a command to the CI."""

    def job(self) -> str:
        """The address of this job, or another name by which people find it; untrusted text."""

    def builder(self) -> tuple[str, str]:
        """The pipeline that builds, as a URI, and the address of its run, for statements; untrusted texts, empty
        where there is none."""

    def logins(self) -> Mapping[str, Credential]:
        """The registries that the job may use by right: `name` or `name:port`, in lower case -> the login."""

    @property
    def identity_token(self) -> Callable[[], str] | None:
        """Asks for a secret by which Sigstore knows the job, and may raise `Unreachable`; None where the provider
        does not vouch for it."""

    @property
    def identity_lines(self) -> str:
        """What stands in a job's definition so that the provider vouches for it; empty where none does."""

    def write_results(self, report: Report, files: ResultFiles) -> None:
        """Write what later jobs and people read of the run, as far as the run was asked for it.

        Raises `BadConfiguration` when a file cannot be written."""

    def write_error(self, command: str, error: ErrorReport, files: ResultFiles) -> None:
        """As `write_results`, for a run that failed before it had a report."""


@runtime_checkable
class JobWriter(Protocol):
    """A provider that runs jobs which an earlier job has written."""

    plan_format: ClassVar[str]
    """The word of `plan --format` for the file of jobs."""

    def jobs(self, settings: JobSettings) -> Callable[[Report], str]:
        """Writes it: a job for each image that needs work. Raises `BadConfiguration`."""


PROVIDERS: tuple[Callable[[Mapping[str, str]], Provider], ...] = (GitHub, GitLab, Local)
"""The first one that is here counts; `Local` always is."""


def provider_of(environ: Mapping[str, str]) -> Provider:
    """The provider that runs this process."""
    return next(provider for provider in every_provider(environ) if provider.is_here)


def every_provider(environ: Mapping[str, str]) -> Iterator[Provider]:
    """All of them, for files that a run may be asked for in any CI, such as `--dotenv`."""
    return (make(environ) for make in PROVIDERS)


def job_writers(environ: Mapping[str, str]) -> dict[str, JobWriter]:
    """By the words of `plan --format` that write a file of jobs."""
    return {one.plan_format: one for one in every_provider(environ) if isinstance(one, JobWriter)}


def run_name(environ: Mapping[str, str]) -> str:
    """The name of this run for people whose run waits for it: the address of its job, else the process."""
    return one_line(provider_of(environ).job()) or one_line(Local(environ).job())


_TITLES = {
    "repository": "repository",
    "commit": "commit",
    "parents": "parents",
    "branch": "branch",
    "tag": "tag",
    "base_branch": "into",
    "merge_base": "merge base",
    "default_store": "registry",
    "may_write": "publish",
}
_SHORT = 12
_VALUE_WIDTH = 40


def describe(context: Context) -> list[str]:
    """The context as aligned lines, each value with where it came from, then the notes."""
    rows = [("run", _event(context), context.sources.get("event", ""))]
    for name, title in _TITLES.items():
        value = _shown(name, getattr(context, name))
        if value and (name in context.sources or name == "commit"):
            rows.append((title, value, context.sources.get(name, "")))
    width = min(max(len(value) for _, value, _ in rows), _VALUE_WIDTH)
    lines = [f"{title:<11}{value:<{width}}  {source}".rstrip() for title, value, source in rows]
    return [_printable(line) for line in [*lines, *(f"{'note':<11}{note}" for note in context.notes)]]


def _event(context: Context) -> str:
    provider = {one.name: one.title for one in every_provider({})}.get(context.provider, context.provider)
    if context.event == "none":
        return provider
    request = "" if context.pull_request is None else f" #{context.pull_request}"
    return f"{provider}, {context.event}{request}{' from a fork' if context.fork else ''}"


def _shown(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(str(item)[:_SHORT] for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return text[:_SHORT] if name == "merge_base" else text


def _printable(line: str) -> str:
    """A branch name may hold characters that turn a terminal's text around; they are shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
