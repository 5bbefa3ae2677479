"""`build-push/`: the inputs of docker/build-push-action, by their names, as a `lineal build` of one image.

The action gives all of them as JSON in one variable. What is secret goes on in variables, never among arguments."""

from __future__ import annotations

import base64
import binascii
import csv
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lineal.ci.github.forge import registry_of
from lineal.cli import action, action_inputs
from lineal.cli.action import Call
from lineal.errors import BadConfiguration
from lineal.text import lines, printable, quoted

INPUTS = "LINEAL_BUILD_PUSH"
LOGINS = "LINEAL_BUILD_PUSH_LOGINS"
"""The job's own file of logins, in base64: the container does not see it."""
_DEFAULT_CONTEXT = "{{defaultContext}}"
_WHOLE_LINES = {
    "annotations": "annotation", "build-args": "build-arg", "build-contexts": "build-context", "labels": "label",
    "ulimit": "ulimit",
}  # fmt: skip
"""A list whose lines are values -> the flag for each of them."""
_COMMAS = {"add-hosts": "add-host", "platforms": "platform", "tags": "tag"}
"""The same of lists that commas separate too."""
_TEXTS = ("target", "network", "shm-size", "cgroup-parent", "call", "cache-from", "cache-to", "builder", "provenance",
          "sbom")  # fmt: skip
"""Inputs whose text is the flag's."""
_SWITCHES = ("push", "load", "no-cache", "pull")
_LISTED = {"attests": "attest", "no-cache-filters": "no-cache-filter"}
_OTHERS = ("allow", "context", "file", "github-token", "outputs", "secret-envs", "secret-files", "secrets", "ssh")
NAMES = frozenset({*_WHOLE_LINES, *_COMMAS, *_TEXTS, *_SWITCHES, *_LISTED, *_OTHERS})
"""All inputs of docker/build-push-action v7."""
_TRUE = {"true": True, "false": False}


def read(environ: Mapping[str, str]) -> Call:
    """The call that the inputs ask for. Raises `BadConfiguration`, which never quotes a secret."""
    given = _inputs(environ)
    hidden = (INPUTS, LOGINS)
    variables = {name: value for name, value in environ.items() if name not in hidden}
    if token := given.get("github-token", ""):
        variables |= action.git_credentials(environ, token)
    variables |= _secrets(given, environ)
    if "ssh" in given:
        variables["LINEAL_SSH"] = "\n".join(_lines(given["ssh"], "ssh"))
    if "allow" in given:
        variables["LINEAL_ALLOW"] = "\n".join(_words(given["allow"], "allow"))
    places = _Places.of(given, environ)
    if places.of_commit:
        # As for docker's context of git: what else is in the workspace does not count.
        variables.setdefault("LINEAL_IGNORE_UNCOMMITTED", "true")
    return Call(
        ["build", *_arguments(given, places), "--", str(places.context)],
        variables,
        clone=places.directory,
        logins=_logins(environ, token),
    )


def masks(environ: Mapping[str, str]) -> list[str]:
    """Texts that must not be seen in the log. This never fails, so that it can come first."""
    try:
        given = _inputs(environ)
        auths = [auth for entry in _auths(environ).values() for auth in _secret_texts(entry)]
    except BadConfiguration:
        return []
    return action_inputs.masked_lines(
        [given.get("github-token", ""), *action_inputs.secret_values(given.get("secrets", "")), *auths]
    )


def _inputs(environ: Mapping[str, str]) -> dict[str, str]:
    """Input -> text, without those that are empty."""
    try:
        found = json.loads(environ.get(INPUTS, "{}"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        _refuse(f"{INPUTS} is not the JSON of the action's inputs.", "Leave it to build-push/action.yml.")
    return {name: value for name, value in found.items() if isinstance(value, str) and value.strip()}


def _arguments(given: Mapping[str, str], places: _Places) -> Iterator[str]:
    for name, flag in _WHOLE_LINES.items():
        for text in _lines(given.get(name, ""), name):
            yield f"--{flag}={places.named(text) if name == 'build-contexts' else text}"
    for name, flag in _COMMAS.items():
        yield from (f"--{flag}={text}" for text in _words(given.get(name, ""), name))
    for name in _TEXTS:
        if name in given:
            yield f"--{name}={given[name].strip()}"
    for name, flag in _LISTED.items():
        yield from (f"--{flag}={text}" for text in _lines(given.get(name, ""), name))
    for name in _SWITCHES:
        if _switch(given, name):
            yield f"--{name}"
    for text in _lines(given.get("outputs", ""), "outputs"):
        yield f"--output={places.output(text)}"
    if "file" in given:
        yield f"--file={places.file}"


def _switch(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false").strip().lower()
    if text not in _TRUE:
        _refuse(f"The input `{name}` is {quoted(text)}.", "Write true or false.")
    return _TRUE[text]


# --- lists ------------------------------------------------------------------------------------------------------


def _lines(text: str, name: str) -> list[str]:
    """A list with an entry a line; one with several lines stands between double quotes."""
    return [entry for one in action_inputs.entries(text, name) if (entry := one.strip())]


def _words(text: str, name: str) -> list[str]:
    """A list that lines and commas separate."""
    found = []
    for line in lines(text):
        try:
            found += [word.strip() for word in next(csv.reader([line.strip()], strict=True), [])]
        except csv.Error as error:
            _refuse(f"The input `{name}` cannot be read: {error}.", "Write an entry a line.")
    return [word for word in found if word]


def _secrets(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    variables = action.secret_variables(given.get("secrets", ""))
    told = [variables.pop("LINEAL_SECRET", "")]
    for name, key, entries in (
        ("secret-envs", "env", _words(given.get("secret-envs", ""), "secret-envs")),
        ("secret-files", "src", _lines(given.get("secret-files", ""), "secret-files")),
    ):
        for number, entry in enumerate(entries, 1):
            id, separator, value = entry.partition("=")
            if not separator or not id or not value or "," in value:
                _refuse(f"Entry {number} of the input `{name}` is not ID={key.upper()}.", "Write one a line.")
            if key == "src":
                value = str(_workspace(environ) / _inside(value, environ))
            told.append(f"id={id},{key}={value}")
    found = "\n".join(filter(None, told))
    return {**variables, "LINEAL_SECRET": found} if found else variables


# --- places -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Places:
    """Where the clone, its context and its Dockerfile are in this container."""

    environ: Mapping[str, str]
    directory: Path
    context: Path
    file: Path
    of_commit: bool = False
    """Whether the context is the commit, whatever lies in the workspace."""

    @classmethod
    def of(cls, given: Mapping[str, str], environ: Mapping[str, str]) -> _Places:
        workspace = _workspace(environ)
        text, file = given.get("context", _DEFAULT_CONTEXT).strip(), given.get("file", "").strip()
        if text.startswith(_DEFAULT_CONTEXT):
            clone = workspace if (workspace / ".git").exists() else _clone(environ)
            context = clone / text.removeprefix(_DEFAULT_CONTEXT).removeprefix(":").lstrip("/")
            return cls(environ, clone, context, context / file, True)
        if "://" in text:
            _refuse(f"The input `context` is {printable(text.rpartition('@')[2])}, another repository's address.",
                    "Check it out with actions/checkout, and name its directory.")  # fmt: skip
        context = workspace / _inside(text, environ)
        directory = workspace if (workspace / ".git").exists() or not context.is_dir() else context
        return cls(environ, directory, context, workspace / _inside(file, environ))

    def named(self, text: str) -> str:
        """A named context, with a directory as this container has it."""
        name, separator, value = text.partition("=")
        if value.startswith(_DEFAULT_CONTEXT):
            folder = value.removeprefix(_DEFAULT_CONTEXT).removeprefix(":").lstrip("/")
            return f"{name}={self.directory / folder}"
        if not separator or ":" in value:
            return text
        workspace = _workspace(self.environ)
        return f"{name}={workspace / _inside(value, self.environ)}"

    def output(self, text: str) -> str:
        """An output, with a file that the next steps see."""
        fields = text.split(",")
        for number, field in enumerate(fields):
            key, _, value = field.partition("=")
            if key.strip().lower() == "dest" and value:
                fields[number] = f"dest={self._seen(value)}"
        return ",".join(fields)

    def _seen(self, path: str) -> str:
        workspace = _workspace(self.environ)
        found = os.path.normpath(workspace / _inside(path, self.environ))
        temp = self.environ.get("RUNNER_TEMP", "")
        if not any(Path(found).is_relative_to(root) for root in (workspace, temp) if root):
            _refuse(f"The output's `dest` is {quoted(path)}, which the next steps would not see.",
                    "Write it below ${{ github.workspace }} or ${{ runner.temp }}.")  # fmt: skip
        return found


def _workspace(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("GITHUB_WORKSPACE") or ".").resolve()


def _inside(text: str, environ: Mapping[str, str]) -> str:
    """A path on the runner as it is called in this container."""
    for outside, inside in (
        (environ.get("LINEAL_ACTION_WORKSPACE", ""), environ.get("GITHUB_WORKSPACE", "")),
        (environ.get("LINEAL_ACTION_TEMP", ""), environ.get("RUNNER_TEMP", "")),
    ):
        if outside and inside and Path(text).is_relative_to(outside):
            return os.path.normpath(Path(inside) / Path(text).relative_to(outside))
    return text


def _clone(environ: Mapping[str, str]) -> Path:
    """The commit of the event, in a private directory: docker/build-push-action needs no actions/checkout for it."""
    import tempfile

    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    commit = environ.get("GITHUB_SHA", "")
    folder = Path(tempfile.mkdtemp(prefix="lineal-clone-")) / (repository.rpartition("/")[2] or "clone")
    variables = dict(environ)
    if token := _inputs(environ).get("github-token", ""):
        variables |= action.git_credentials(environ, token)
    variables = {name: value for name, value in variables.items() if name not in (INPUTS, LOGINS)}
    commands: list[list[str]] = [
        ["init", "--quiet", str(folder)],
        ["-C", str(folder), "remote", "add", "origin", f"{server}/{repository}"],
        ["-C", str(folder), "fetch", "--quiet", "--depth=1", "--no-tags", "origin", commit],
        ["-C", str(folder), "checkout", "--quiet", "--detach", "FETCH_HEAD"],
    ]
    for command in commands:
        done = subprocess.run(["git", *command], env=variables, capture_output=True, check=False)
        if done.returncode:
            _refuse(
                f"The workspace has no clone, and {printable(repository)} cannot be fetched at {printable(commit)}.",
                "Add a step `uses: actions/checkout` before this one.",
            )
    return folder


# --- logins -----------------------------------------------------------------------------------------------------


def _logins(environ: Mapping[str, str], token: str) -> bytes | None:
    """The logins of the job, and its token for the forge's own registry where the job has no other one."""
    auths = _auths(environ)
    if token:
        host = registry_of(environ)
        own = json.loads(action_inputs.docker_logins(host, environ.get("GITHUB_ACTOR") or "x-access-token", token))
        auths = {**own["auths"], **auths}
    return json.dumps({"auths": auths}).encode() if auths else None


def _auths(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(base64.b64decode(environ.get(LOGINS, ""), validate=True) or b"{}")
    except (ValueError, binascii.Error):
        return {}
    auths = found.get("auths") if isinstance(found, dict) else None
    return (
        {host: entry for host, entry in auths.items() if isinstance(entry, dict)} if isinstance(auths, dict) else {}
    )


def _secret_texts(entry: Mapping[str, Any]) -> Iterator[str]:
    for key in ("auth", "password", "identitytoken", "registrytoken"):
        text = entry.get(key)
        if isinstance(text, str) and text:
            yield text
    try:
        yield base64.b64decode(str(entry.get("auth", ""))).decode(errors="replace").partition(":")[2]
    except (ValueError, binascii.Error):
        return


def _refuse(what: str, remedy: str) -> NoReturn:
    raise BadConfiguration(what, id="LN-1053", remedy=remedy)


if __name__ == "__main__":
    from lineal.cli import main

    main(action.prepared(read, masks))
