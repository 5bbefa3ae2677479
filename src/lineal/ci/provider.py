"""Which CI this run is in, and what it says, for people."""

from __future__ import annotations

from collections.abc import Mapping

from lineal.ci import local
from lineal.ci.context import Context, GitReader
from lineal.ci.github import context as github
from lineal.ci.gitlab import context as gitlab

_PROVIDERS = {"github": "GitHub", "gitlab": "GitLab", "local": "plain clone"}
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


def detect(environ: Mapping[str, str], git: GitReader) -> Context:
    """The pipeline context of this run. What is built is always the checked-out HEAD.

    Raises `BadConfiguration` when the CI's variables or event payload make no sense."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return github.read(environ, git)
    if environ.get("GITLAB_CI") == "true":
        return gitlab.read(environ, git)
    return local.read(git)


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
    provider = _PROVIDERS.get(context.provider, context.provider)
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
