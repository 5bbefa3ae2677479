"""`lineal-giterminism.yaml`: the exceptions a project makes to *only the commit counts*.

The file itself is always read from the commit, is plain YAML, and without it there are no exceptions."""

from typing import Annotated

from msgspec import Meta, Struct

from lineal.config.convert import convert
from lineal.config.document import Document, Path, parse
from lineal.config.model import Variable
from lineal.context.wildcards import matches, path_pattern
from lineal.errors import BadConfiguration, Problems
from lineal.regex import regex

FILE = "lineal-giterminism.yaml"
_SPELT_HOST = regex(r"[a-z]+://(\[[0-9a-f:]+\]|[^*?/:]+)([:/]|$)")


class TemplateExceptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `lineal.yaml` and values templates may use that is not in the commit."""

    environment: Annotated[
        list[Variable],
        Meta(description='Environment variables that templates may read with `env_var("NAME")`; never a secret\'s.'),
    ] = []


class DockerfileExceptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Dockerfiles may use that is not in the commit."""

    pinned: Annotated[
        bool,
        Meta(
            description="Whether every `ADD` of a URL or a git repository has to name a checksum or a full commit id "
            "(default: false). Without one, what the first build of its stage brings stays."
        ),
    ] = False
    unpinned: Annotated[
        list[str],
        Meta(
            description="URLs and git repositories that `ADD` may bring without a checksum or a full commit id, with "
            "`pinned` too, as written there, `*` and `**` as below. Nothing is said about them. One whose host is "
            "spelt out may be in this network."
        ),
    ] = []


class SubmoduleExceptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the commit pins in submodules and builds do without."""

    empty: Annotated[
        list[str],
        Meta(
            description="Paths of submodules that count as empty folders, checked out or not; `*` and `**` as below. "
            "Nothing of them is read, and `COPY` makes an empty folder, as `docker build` does in a clone without "
            "submodules."
        ),
    ] = []


class Giterminism(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exceptions to reading everything from the commit: `lineal-giterminism.yaml` at the repository's root."""

    config: Annotated[TemplateExceptions, Meta(description="Exceptions for templates.")] = TemplateExceptions()
    dockerfile: Annotated[DockerfileExceptions, Meta(description="Exceptions for Dockerfiles.")] = (
        DockerfileExceptions()
    )
    submodules: Annotated[SubmoduleExceptions, Meta(description="Exceptions for submodules.")] = SubmoduleExceptions()
    artifacts: Annotated[
        list[str],
        Meta(
            description="Paths of files that an earlier job made in the working tree: builds read those that the "
            "commit does not have as if it had them, and their bytes count. `*` and `**` as below; a directory means "
            "everything below."
        ),
    ] = []
    uncommitted: Annotated[
        list[str],
        Meta(
            description="Paths that may have uncommitted changes: the commit's content is used, with a warning. "
            "`*` and `?` stay inside a directory, `**` crosses directories, `docs/` means everything below."
        ),
    ] = []

    def tolerates(self, path: str) -> bool:
        """Whether uncommitted changes of this path (of the commit, with `/`) are a warning instead of an error."""
        return any(matches(path_pattern(pattern), path) for pattern in self.uncommitted)

    def unpinned(self, source: str) -> bool:
        """Whether an `ADD` may bring this URL or repository, written like this, without a checksum or commit."""
        return any(matches(path_pattern(pattern), source) for pattern in self.dockerfile.unpinned)

    def opens(self, source: str) -> bool:
        """Whether this URL or repository may be a service of this machine or its network although nothing pins it: a
        pattern means it that has no wildcard in the host."""
        spelt = [pattern for pattern in self.dockerfile.unpinned if _SPELT_HOST.match(pattern)]
        return any(matches(path_pattern(pattern), source) for pattern in spelt)

    def empty(self, path: str) -> bool:
        """Whether the submodule at this path counts as an empty folder."""
        return any(
            matches(path_pattern(pattern), one) for pattern in self.submodules.empty for one in (path, path + "/")
        )


def load_giterminism(text: str | None, *, file: str = FILE) -> Giterminism:
    """The exceptions of the commit (`text` None: none). Raises `BadConfiguration` with file, line and key."""
    if text is None:
        return Giterminism()
    document = parse(text, file)
    if document.root.value is None:
        return Giterminism()
    found = convert(document, Giterminism)
    problems = Problems()
    _check_paths(document, ("uncommitted",), found.uncommitted, problems)
    _check_paths(document, ("submodules", "empty"), found.submodules.empty, problems)
    _check_paths(document, ("artifacts",), found.artifacts, problems)
    _check_artifacts(document, found.artifacts, problems)
    problems.end()
    return found


def _check_paths(document: Document, key: Path, patterns: list[str], problems: Problems) -> None:
    for index, pattern in enumerate(patterns):
        if pattern.startswith("/") or ".." in pattern.split("/") or not pattern.strip():
            problems.add(BadConfiguration(
                "A pattern must be a path inside the repository.",
                id="LN-1005",
                place=document.place((*key, index)),
                remedy="Write it relative to the root, such as `docs/**`.",
            ))  # fmt: skip


def _check_artifacts(document: Document, patterns: list[str], problems: Problems) -> None:
    """Refuse what no path of an artifact is like."""
    for index, pattern in enumerate(patterns):
        parts = pattern.removeprefix("./").removesuffix("/").split("/")
        if pattern.startswith("!"):
            message, remedy = "A pattern of artifacts takes nothing back.", "Leave files out with .dockerignore."
        elif ".git" in (part.lower() for part in parts):
            message, remedy = "Nothing below .git is an artifact.", "Write what a build needs of it to a file."
        elif pattern.strip() and not pattern.startswith("/") and not {"", "."}.isdisjoint(parts):
            message, remedy = "No path is written like this.", "Write it as git does, such as `web/dist/**`."
        else:
            continue
        place = document.place(("artifacts", index))
        problems.add(BadConfiguration(message, id="LN-1005", place=place, remedy=remedy))
