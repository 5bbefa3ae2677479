"""The GitHub Action: its inputs as variables, arguments and private files for `lineal`, secrets masked before that.

The runner gives an input NAME as `INPUT_NAME`, with its hyphens, and an empty text for one that is not set."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lineal.ci.github.forge import registry_of, server_of
from lineal.cli import action_inputs
from lineal.config.setting import variable_of
from lineal.errors import BadConfiguration
from lineal.git.command import TOKEN
from lineal.session.private_directory import private_directory
from lineal.text import lines

_WITH_IMAGES = ("plan", "build")
_PLAIN = ("repo", "env", "values", "set", "release", "namespace", "kube-context", "lock", "engine", "platform", "ssh",
          "allow", "load", "registry-username", "registry-password")  # fmt: skip
"""Inputs whose text is that of the variable `LINEAL_<NAME>`."""
_SECRET = "LINEAL_ACTION_SECRET_"  # noqa: S105
# A constant: git gives it to a shell, the token comes from the environment. Asked only by the forge's own host, and
# only when it wants to know who is there.
_HELPER = f'!f() {{ test "$1" != get || printf \'username=x-access-token\\npassword=%s\\n\' "${TOKEN}"; }}; f'


@dataclass(frozen=True)
class Call:
    """The command to run. `environ` is the whole environment; `kubeconfig` and `logins` become private files."""

    arguments: list[str]
    environ: dict[str, str] = field(repr=False)
    directory: str = "."
    kubeconfig: bytes | None = field(default=None, repr=False)
    logins: bytes | None = field(default=None, repr=False)
    clone: Path | None = None
    """The directory to work in, where no input names it."""


def read(environ: Mapping[str, str], is_directory: Callable[[str], bool] = os.path.isdir) -> Call:
    """The call that the inputs ask for. Raises `BadConfiguration`, which never quotes a secret."""
    given = _inputs(environ)
    variables = {name: value for name, value in environ.items() if not name.startswith("INPUT_")}
    variables |= {variable_of(name): given[name] for name in _PLAIN if name in given}
    if "vars" in given:
        variables["LINEAL_VAR"] = given["vars"]
    variables |= secret_variables(given.get("secrets", ""))
    variables |= _host_paths(given.get("runner-paths", ""))
    variables.setdefault("LINEAL_REPORT", "")
    if not variables["LINEAL_REPORT"]:
        variables["LINEAL_REPORT"] = _report(environ, is_directory)
    logins = None
    if token := given.get("github-token", ""):
        variables |= git_credentials(environ, token)
        logins = action_inputs.docker_logins(
            registry_of(environ), environ.get("GITHUB_ACTOR") or "x-access-token", token
        )
    kubeconfig, path = action_inputs.kubeconfig(given.get("kubeconfig", ""))
    if path:
        variables["KUBECONFIG"] = str(Path(environ.get("GITHUB_WORKSPACE", "")) / path)
    return Call(_arguments(given), variables, given.get("working-directory", "."), kubeconfig, logins)


def masks(environ: Mapping[str, str]) -> list[str]:
    """Texts that must not be seen in the log, line by line. This never fails, so that it can come first."""
    given = _inputs(environ)
    texts = [given.get("registry-password", ""), given.get("github-token", "")]
    texts += action_inputs.secret_values(given.get("secrets", ""))
    texts += action_inputs.kubeconfig_values(given.get("kubeconfig", ""))
    return action_inputs.masked_lines(texts)


@contextmanager
def prepared(
    read: Callable[[Mapping[str, str]], Call] = read, masks: Callable[[Mapping[str, str]], list[str]] = masks
) -> Iterator[None]:
    """This process as the inputs want it. What is written for that is gone afterwards."""
    for line in masks(os.environ):
        sys.stderr.write(f"::add-mask::{line.replace('%', '%25')}\n")
    sys.stderr.flush()
    call = read(os.environ)
    directory = call.clone or _directory(call.directory, os.environ)
    # In the container, where no other step can look.
    with private_directory("action") as private:
        variables = _private_files(call, private)
        os.environ.clear()
        os.environ.update(call.environ | variables)
        os.chdir(directory)
        sys.argv = ["lineal", *call.arguments]
        yield


# --- inputs -----------------------------------------------------------------------------------------------------


def _inputs(environ: Mapping[str, str]) -> dict[str, str]:
    """Input -> text, without those that are empty."""
    return {
        name.removeprefix("INPUT_").lower(): value
        for name, value in environ.items()
        if name.startswith("INPUT_") and value.strip()
    }


def _arguments(given: Mapping[str, str]) -> list[str]:
    from lineal.cli.commands import cli
    from lineal.text import did_you_mean, quoted

    command = given.get("command", "converge").strip()
    if command not in cli.commands:
        raise BadConfiguration(
            f"The input `command` is {quoted(command)}, which is no command of Lineal.",
            id="LN-1019",
            remedy=did_you_mean(command, cli.commands, owner="The commands") + " Options go to the input `args`.",
        )
    try:
        words = shlex.split(given.get("args", ""))
    except ValueError as error:
        raise BadConfiguration(
            f"The input `args` cannot be split into words: {str(error).lower()}.",
            id="LN-1019",
            remedy="It is read as a shell reads words, without expansions: close the quotation.",
        ) from None
    images = given.get("images", "").split()
    if images and command not in _WITH_IMAGES:
        raise BadConfiguration(
            f"The input `images` is for {' and '.join(_WITH_IMAGES)}; {command} is about all images of lineal.yaml.",
            id="LN-1019",
            remedy="Leave it out, or use another `command`.",
        )
    if command != "build" and given.get("load", "").strip().lower() not in ("", "false"):
        raise BadConfiguration(
            f"The input `load` is for build; {command} loads nothing into the Docker Engine.",
            id="LN-1019",
            remedy="Leave it out, or use `command: build`.",
        )
    return [command, *words, *(["--", *images] if images else [])]


def secret_variables(text: str) -> dict[str, str]:
    found = action_inputs.secrets(text)
    if not found:
        return {}
    values = {f"{_SECRET}{number}": value for number, (_, value) in enumerate(found)}
    lines = (f"id={name},env={_SECRET}{number}" for number, (name, _) in enumerate(found))
    return {**values, "LINEAL_SECRET": "\n".join(lines)}


# --- what the runner says ---------------------------------------------------------------------------------------


def _host_paths(text: str) -> dict[str, str]:
    """The runner's own directories, as it knows them outside of this container: lines `NAME PATH`."""
    paths = dict(line.strip().partition(" ")[::2] for line in lines(text))
    return {f"LINEAL_ACTION_{name.upper()}": paths[name] for name in ("temp", "workspace") if paths.get(name)}


def _report(environ: Mapping[str, str], is_directory: Callable[[str], bool]) -> str:
    """A file of this step, in a directory that the next steps see: some runners do not mount RUNNER_TEMP."""
    step = "".join(char if char.isalnum() else "-" for char in environ.get("GITHUB_ACTION", ""))
    for folder in (environ.get("RUNNER_TEMP", ""), environ.get("HOME", "")):
        if folder and is_directory(folder):
            return f"{folder}/lineal-report{step and '-' + step}.json"
    return ""


def git_credentials(environ: Mapping[str, str], token: str) -> dict[str, str]:
    """So that history can be fetched where actions/checkout left no credentials that this container can read."""
    from lineal.git.command import with_config

    setting = (f"credential.{server_of(environ)}.helper", _HELPER)
    return {
        name: value for name, value in with_config(dict(environ), setting).items() if name.startswith("GIT_CONFIG_")
    } | {TOKEN: token}


# --- this machine -----------------------------------------------------------------------------------------------


def _directory(text: str, environ: Mapping[str, str]) -> Path:
    """The directory to work in, inside the workspace also after its symbolic links."""
    from lineal.text import quoted

    workspace = Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()
    wanted = (workspace / text.strip()).resolve()
    if not wanted.is_relative_to(workspace):
        raise BadConfiguration(
            f"The input `working-directory` is {quoted(text)}, which is not in the workspace.",
            id="LN-1019",
            remedy="Write a path relative to the workspace, such as `services/api`.",
        )
    if not wanted.is_dir():
        raise BadConfiguration(
            f"The input `working-directory` is {quoted(text)}, and there is no such directory.",
            id="LN-1019",
            remedy="Correct it, or check it out first (actions/checkout).",
        )
    return wanted


def _private_files(call: Call, folder: Path) -> dict[str, str]:
    """Writes what only files can say; gives the variables that name them."""
    variables = {}
    if call.kubeconfig is not None:
        variables["KUBECONFIG"] = str(_write(folder / "kubeconfig", call.kubeconfig))
    if call.logins is not None:
        # Looked at after what the job says itself; the first of the two that the job leaves free.
        if not call.environ.get("REGISTRY_AUTH_FILE"):
            variables["REGISTRY_AUTH_FILE"] = str(_write(folder / "auth.json", call.logins))
        elif not call.environ.get("XDG_RUNTIME_DIR"):
            _write(folder / "containers" / "auth.json", call.logins)
            variables["XDG_RUNTIME_DIR"] = str(folder)
    return variables


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    from lineal.cli import main

    main(prepared())
