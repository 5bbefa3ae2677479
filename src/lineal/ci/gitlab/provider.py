"""GitLab CI/CD as a provider. Its parts are imported when they are used: a run needs few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from lineal.ci.context import Context, GitReader
from lineal.ci.results import ResultFiles
from lineal.errors import LinealError
from lineal.oci.credential import Credential
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.ci.jobs import JobSettings
    from lineal.report.log import Markers
    from lineal.report.model import ErrorReport, Report


@dataclass(frozen=True, slots=True)
class GitLab:
    environ: Mapping[str, str]
    name: ClassVar[str] = "gitlab"
    title: ClassVar[str] = "GitLab"
    plan_format: ClassVar[str] = "gitlab"

    @property
    def is_here(self) -> bool:
        return self.environ.get("GITLAB_CI") == "true"

    def context(self, git: GitReader) -> Context:
        from lineal.ci.gitlab.context import read

        return read(self.environ, git)

    def markers(self) -> Markers:
        from lineal.ci.gitlab.log import Sections

        return Sections()

    def annotation(self, error: LinealError) -> str:  # noqa: ARG002
        """None: GitLab shows reports of its own kinds beside the code, and no line of a log."""
        return ""

    def guarded(self, text: str) -> str:
        """As it is: GitLab takes no command from a job's log."""
        return text

    def job(self) -> str:
        return self.environ.get("CI_JOB_URL", "")

    def builder(self) -> tuple[str, str]:
        """The file of the pipeline, at its ref."""
        project, ref = self.environ.get("CI_PROJECT_URL"), self.environ.get("CI_COMMIT_REF_NAME", "")
        kind = "tags" if self.environ.get("CI_COMMIT_TAG") else "heads"
        config = self.environ.get("CI_CONFIG_PATH") or ".gitlab-ci.yml"
        return f"{project}//{config}@refs/{kind}/{ref}" if project else "", self.job()

    @property
    def identity_token(self) -> Callable[[], str] | None:
        token = self.environ.get("SIGSTORE_ID_TOKEN")
        return (lambda: token) if token else None

    @property
    def identity_lines(self) -> str:
        return "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}"

    def logins(self) -> Mapping[str, Credential]:
        """The job's own password for its GitLab's registry."""
        names = ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")
        host, username, password = (self.environ.get(name, "") for name in names)
        if not (self.is_here and host and username and password):
            return {}
        return {host.lower(): Credential(names[1], username, password)}

    def jobs(self, settings: JobSettings) -> Callable[[Report], str]:
        from lineal.ci.gitlab.child_pipeline import child_pipeline

        return child_pipeline(settings, self.environ.get("CI_JOB_IMAGE"), self.environ.get("CI_SERVER_HOST", ""))

    def write_results(self, report: Report, files: ResultFiles) -> None:
        if files.dotenv:
            from lineal.ci.gitlab.dotenv import write_dotenv

            write_dotenv(report, files)

    def write_error(self, command: str, error: ErrorReport, files: ResultFiles) -> None:
        """Nothing: a job that failed gives no variables to others."""
