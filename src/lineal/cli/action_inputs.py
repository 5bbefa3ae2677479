"""Texts of the GitHub Action's inputs: lists of secrets, a kubeconfig; and what of them must not be seen."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from lineal.errors import BadConfiguration
from lineal.kube.kubeconfig import content, decoded
from lineal.text import lines

_ID = re.compile(r"[A-Za-z0-9_.-]+")
_SHORTEST_LINE = 4
"""Of a text of several lines: shorter ones, such as a brace, would blank out the log."""
_SHORTEST = 2
_HOW = "Write one `ID=VALUE` a line; one with several lines between double quotes, a quote inside them twice."
_BLANK = " \t"
_QUOTED = re.compile(r'((?:[^"]|"")*+)"')
_KEPT_SECRET = ("token", "password", "client-key-data")


def secrets(text: str) -> list[tuple[str, str]]:
    """The secrets of a list as docker/build-push-action reads it. Raises `BadConfiguration`, which quotes nothing."""
    found = []
    for number, entry in enumerate(entries(text, "secrets"), 1):
        name, separator, value = entry.partition("=")
        if not separator or not _ID.fullmatch(name.strip()):
            raise BadConfiguration(
                f"Entry {number} of the input `secrets` does not begin with `ID=`.", id="LN-1019", remedy=_HOW
            )
        found.append((name.strip(), value))
    return found


def secret_values(text: str) -> list[str]:
    """Everything in a list of secrets that may be one, also when the list is wrong."""
    try:
        return [value for _, value in secrets(text)]
    except BadConfiguration:
        found = [line.strip().strip('"') for line in lines(text)]
        return [*found, *(line.partition("=")[2] for line in found)]


def entries(text: str, name: str) -> Iterator[str]:
    """The entries of the list that the input `name` is. What is between quotes is kept byte for byte; a line without
    them is so up to the blanks around it."""
    number = 0
    while text := text.lstrip(_BLANK + "\r\n"):
        number += 1
        if text.startswith('"'):
            entry, text = _quoted(text[1:], number, name)
        else:
            entry, _, text = text.partition("\n")
            entry = entry.rstrip(_BLANK + "\r")
        yield entry


def _quoted(text: str, number: int, name: str) -> tuple[str, str]:
    """The entry that begins behind a quote, up to the next single one, which has to end its line; and the rest."""
    found = _QUOTED.match(text)
    if found is None:
        message = f"Entry {number} of the input `{name}` begins with a quote that is never closed."
        raise BadConfiguration(message, id="LN-1019", remedy=_HOW)
    rest, _, after = text[found.end() :].partition("\n")
    if rest.strip(_BLANK + "\r"):
        message = f"Entry {number} of the input `{name}` goes on behind its closing quote."
        raise BadConfiguration(message, id="LN-1019", remedy=_HOW)
    return found[1].replace('""', '"'), after


def kubeconfig(text: str) -> tuple[bytes | None, str | None]:
    """A kubeconfig as content, plain or in base64, or as the path of a file: one of the two, neither for no text."""
    stripped = text.strip()
    if not stripped:
        return None, None
    found = content(text)
    return (None, stripped) if found is None else (found, None)


def kubeconfig_values(text: str) -> list[str]:
    """The secrets of a kubeconfig, and the whole file when it is in base64; nothing for a path."""
    found = content(text)
    if found is None:
        return []
    whole = [text] if decoded(text) is not None else []
    return whole + [value for user in _users(found) for value in _private(user)]


def _users(content: bytes) -> list[Any]:
    import yaml

    try:
        parsed = yaml.safe_load(content)
        return list(parsed["users"])
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _private(user: Any) -> list[str]:
    entries = user.get("user") if isinstance(user, dict) else None
    if not isinstance(entries, dict):
        return []
    found = [str(entries[key]) for key in _KEPT_SECRET if entries.get(key)]
    run = entries.get("exec")
    variables = (run.get("env") if isinstance(run, dict) else None) or []
    return found + [str(one["value"]) for one in variables if isinstance(one, dict) and one.get("value")]


def docker_logins(host: str, username: str, token: str) -> bytes:
    """A file of logins, as docker and podman keep it, with one for this host alone."""
    pair = base64.b64encode(f"{username}:{token}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": pair}}}).encode()


def masked_lines(texts: Iterable[str]) -> list[str]:
    """Each line of these texts once, without those that are too short to be secret. The runner takes one line a
    command; of a text of several it would mask every one, be it a brace."""
    found: dict[str, None] = {}
    for text in texts:
        # A program may print what another sees as lines one by one: the parts are as secret as the whole.
        whole = re.split(r"[\r\n]+", text.strip())
        parts = text.strip().splitlines()
        shortest = _SHORTEST if len(parts) == 1 else _SHORTEST_LINE
        found |= dict.fromkeys(line.strip() for line in [*whole, *parts] if len(line.strip()) >= shortest)
    return list(found)
