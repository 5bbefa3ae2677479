"""GitHub Actions as a provider. Its parts are imported when they are used: a run needs few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from lineal.ci.context import Context, GitReader
from lineal.ci.github.forge import registry_of
from lineal.ci.results import ResultFiles
from lineal.errors import LinealError
from lineal.oci.credential import Credential
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.ci.jobs import JobSettings
    from lineal.report.log import Markers
    from lineal.report.model import ErrorReport, Report


@dataclass(frozen=True, slots=True)
class GitHub:
    environ: Mapping[str, str]
    name: ClassVar[str] = "github"
    title: ClassVar[str] = "GitHub"
    plan_format: ClassVar[str] = "matrix"

    @property
    def is_here(self) -> bool:
        return self.environ.get("GITHUB_ACTIONS") == "true"

    def context(self, git: GitReader) -> Context:
        from lineal.ci.github.context import read

        return read(self.environ, git)

    def markers(self) -> Markers:
        from lineal.ci.github.log import Groups

        return Groups()

    def annotation(self, error: LinealError) -> str:
        from lineal.ci.github.annotations import annotation

        return annotation(error)

    def guarded(self, text: str) -> str:
        from lineal.ci.github.log import guarded

        return guarded(text, self.environ)

    def job(self) -> str:
        """The address of the workflow's run: a job does not know its own."""
        number = self.environ.get("GITHUB_RUN_ID")
        server = self.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{self.environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{number}" if number else ""

    def builder(self) -> tuple[str, str]:
        """The workflow's file and ref; the run, of which there may be several attempts."""
        workflow, attempt = self.environ.get("GITHUB_WORKFLOW_REF"), self.environ.get("GITHUB_RUN_ATTEMPT")
        server = self.environ.get("GITHUB_SERVER_URL", "https://github.com")
        run = self.job()
        return f"{server}/{workflow}" if workflow else "", f"{run}/attempts/{attempt}" if run and attempt else run

    def logins(self) -> Mapping[str, Credential]:
        """The job's token, where a step is given it (`env: {GITHUB_TOKEN: …}`): for the forge's own registry."""
        token = self.environ.get("GITHUB_TOKEN")
        if not (self.is_here and token):
            return {}
        try:
            host = registry_of(self.environ)
        except ValueError:
            return {}
        return {host: Credential("GITHUB_TOKEN", self.environ.get("GITHUB_ACTOR") or "x-access-token", token)}

    @property
    def identity_token(self) -> Callable[[], str] | None:
        from lineal.ci.github.identity import identity_token, is_offered

        return (lambda: identity_token(self.environ, "sigstore")) if is_offered(self.environ) else None

    @property
    def identity_lines(self) -> str:
        return "permissions: {id-token: write}"

    def jobs(self, settings: JobSettings) -> Callable[[Report], str]:
        from lineal.ci.github.matrix import matrix

        return lambda report: matrix(report, settings.runners)

    def write_results(self, report: Report, files: ResultFiles) -> None:
        try:
            if self.environ.get("GITHUB_ARTIFACTS"):
                from lineal.ci.github.artifacts import declare

                declare(report, self.environ, files)
            if self.environ.get("GITHUB_OUTPUT"):
                from lineal.ci.github.outputs import write_outputs

                write_outputs(report, self.environ, files)
        finally:
            if self.environ.get("GITHUB_STEP_SUMMARY"):
                from lineal.ci.github.summary.page import page
                from lineal.ci.github.summary.step_summary import append

                append(self.environ, files, lambda budget: page(report, budget))

    def write_error(self, command: str, error: ErrorReport, files: ResultFiles) -> None:
        from lineal.ci.github.summary.page import error_page
        from lineal.ci.github.summary.step_summary import append

        append(self.environ, files, lambda _: error_page(command, error))
