"""Where the repository is that a run builds: its working tree, and the git directory where that stands elsewhere."""

from __future__ import annotations

from pathlib import Path

from lineal.errors import BadConfiguration
from lineal.git.command import GitFailed, git_environment, run_git, text_of


def find(start: Path, environ: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """The root of the working tree that `start` lies in, and the environment in which git runs there.

    A `.git` at or above `start` counts. GIT_DIR counts where there is none, and where GIT_WORK_TREE says that `start`
    lies in its working tree: the variables that git gives to its hooks lead a run to no other repository. Raises
    `BadConfiguration` when there is no repository."""
    start = start.resolve()
    git_dir, work_tree = environ.get("GIT_DIR"), environ.get("GIT_WORK_TREE")
    if git_dir and work_tree and start.is_relative_to(root := (start / work_tree).resolve()):
        return root, _elsewhere(root, start / git_dir, environ)
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder, git_environment(folder, environ)
    if git_dir and not work_tree:
        env = _elsewhere(start, start / git_dir, environ)
        root = _configured_work_tree(env, start) or start
        return root, _elsewhere(root, start / git_dir, environ)
    raise BadConfiguration(
        f"There is no git repository at {start}.",
        id="LN-3004",
        remedy="Run Lineal inside a clone (in CI: after the checkout step).",
    )


def _elsewhere(root: Path, git_dir: Path, environ: dict[str, str]) -> dict[str, str]:
    return {**git_environment(root, environ), "GIT_DIR": str(git_dir.resolve()), "GIT_WORK_TREE": str(root)}


def _configured_work_tree(env: dict[str, str], start: Path) -> Path | None:
    """The working tree that core.worktree names, None when the repository leaves it to the folder git runs in."""
    try:
        configured = text_of(run_git(["config", "--get", "core.worktree"], start, env))
    except GitFailed:
        return None
    return Path(env["GIT_DIR"], configured).resolve() if configured else None
