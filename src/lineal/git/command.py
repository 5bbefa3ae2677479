"""Runs git: its environment, its failures, its output."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lineal.errors import BadConfiguration, LinealError


class GitFailed(LinealError):
    """git ended with an error."""

    distrusted = False
    """Whether git refused a repository because it belongs to another user."""


def git_environment(root: Path, environ: dict[str, str]) -> dict[str, str]:
    """The environment for git in this repository.

    In a CI, whose workspaces often belong to another user, git trusts the repository; elsewhere git itself decides,
    because a repository's configuration names programs. Git fetches nothing on its own (see `promisor`), asks no
    questions, and runs no hooks and no monitor of files. Variables of the caller lead it to no other repository (see
    `discovery`), no object stands for another, and a path is no pattern."""
    env = {key: value for key, value in environ.items() if not key.startswith(_DROPPED) or key.startswith(_KEPT)}
    trusted = [("safe.directory", str(root))] if any(environ.get(name) for name in _CI) else []
    return {
        **with_config(env, *trusted, ("core.hooksPath", os.devnull), ("core.fsmonitor", "false")),
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        # A path that cannot exist. git complains of any file at this place, even of an empty one.
        "GIT_GRAFT_FILE": f"{os.devnull}/none",
        "LC_ALL": "C.UTF-8",
    }


_DROPPED = ("GIT_", "LINEAL_", "COSIGN_", "SIGSTORE_", "ACTIONS_ID_TOKEN_")
"""Families of variables that git does not get: those of the caller's git, Lineal's own, with its keys, and those by
which a CI vouches for the job. A repository's configuration names programs."""
TOKEN = "LINEAL_ACTION_TOKEN"  # noqa: S105 (a variable's name)
"""What the action's credential helper (cli/action.py) gives git to fetch history with."""
_CI = ("GITHUB_ACTIONS", "GITLAB_CI")
"""Variables of the systems that make the workspace themselves."""
_KEPT = (TOKEN, "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
         "GIT_CONFIG_NOSYSTEM", "GIT_SSH", "GIT_ASKPASS", "GIT_SSL_", "GIT_EXEC_PATH")  # fmt: skip


_LOOK = 0.1
"""Seconds between two looks at a command that talks to a server."""


def with_config(env: dict[str, str], *settings: tuple[str, str]) -> dict[str, str]:
    """The environment with more settings for git. They are in no file and in no list of arguments."""
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    added = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for number, (key, value) in enumerate(settings, start=count):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**env, **added}


def common_dir(git_dir: Path) -> Path:
    """The git directory that holds the objects. In a linked worktree it is another one than `git_dir`."""
    try:
        return (git_dir / os.fsdecode((git_dir / "commondir").read_bytes().rstrip(b"\n"))).resolve()
    except OSError:
        return git_dir


def run_git(args: list[str], cwd: Path, env: dict[str, str], stdin: bytes | None = None) -> bytes:
    """The output of a git command. Raises `GitFailed` with the last line of its messages, `BadConfiguration` when git
    is not installed."""
    try:
        done = subprocess.run(["git", *args], cwd=cwd, env=env, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise _not_installed() from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        failed = GitFailed(
            f"`git {args[0]}` failed in {cwd}: {reason[-1] if reason else done.returncode}", id="LN-3006"
        )
        failed.distrusted = any("dubious ownership" in line or "unsafe repository" in line for line in reason)
        raise failed
    return done.stdout


def ask_server(
    args: list[str], cwd: Path, env: dict[str, str], *, seconds: float, stdin: bytes = b"",
    look: Callable[[bytes], None] = lambda _: None, umask: int = -1,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run a git command that talks to a server, however it ends. `look` is called several times a second with git's
    messages so far, and may raise: then all that git has started is killed, as it is after so many seconds.

    Raises `TimeoutError`, and `BadConfiguration` when git is not installed."""
    end = time.monotonic() + seconds
    try:
        # In a session of its own nothing that git starts can ask at a terminal.
        process = subprocess.Popen(
            ["git", *args], cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, umask=umask,
        )  # fmt: skip
    except FileNotFoundError:
        raise _not_installed() from None
    given: bytes | None = stdin
    with process:
        try:
            while True:
                try:
                    out, said = process.communicate(given, timeout=_LOOK)
                    return subprocess.CompletedProcess(args, process.returncode, out, said)
                except subprocess.TimeoutExpired as still:
                    given = None
                    look(still.stderr or b"")
                if time.monotonic() > end:
                    raise TimeoutError(f"git {args[0]} took longer than {seconds:.0f} s")
        except BaseException:
            # The whole group, because git's helpers would go on talking to the server.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _not_installed() -> BadConfiguration:
    return BadConfiguration("git is not installed.", id="LN-3003", remedy="Install git 2.31 or newer.")


def text_of(out: bytes) -> str:
    """The output of git as text, without the end of its last line."""
    return os.fsdecode(out.removesuffix(b"\n"))
