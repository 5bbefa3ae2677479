"""How a run logs in at the git server of another repository, and what its commits are signed with: settings for git
that are in its environment only, and for one address."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from lineal.errors import BadConfiguration
from lineal.regex import regex
from lineal.text import quoted
from lineal.value import dataclass

TOKEN, USERNAME = "LINEAL_GIT_TOKEN", "LINEAL_GIT_USERNAME"
SIGNING_KEY = "LINEAL_GIT_SIGNING_KEY"
_ANYBODY = "x-access-token"
"""GitHub's word beside a token; GitLab, Gitea and others take any."""
_SCP = regex(r"(?!-)[^/:@\s]+@[^/:@\s]+:.+|(?!-)[^/:@\s]+\.[^/:@\s]+:.+")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HELP = "Write https://HOST/OWNER/REPOSITORY.git, ssh://git@HOST/PATH, git@HOST:PATH or the path of a directory."
_Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a repository without credentials, which may be shown; `login` is for git's environment."""

    url: str
    login: _Settings = ()


def parse_address(text: str, start: Path, environ: Mapping[str, str]) -> Address:
    """What `--to-git` names; a relative path starts from `start`. Raises `BadConfiguration`, which repeats no
    password."""
    if text.startswith(("https://", "http://")):
        return _web(text, environ)
    if text.startswith(("ssh://", "git+ssh://")) and urlsplit(text).password is None and text.isprintable():
        return Address(text)
    if text.startswith("file://") and text.isprintable():
        return Address(text)
    if "://" not in text and "::" not in text and (start / text).is_dir() and text:
        return Address(str((start / text).resolve()))
    if _SCP.fullmatch(text) and "::" not in text and "://" not in text:
        return Address(text)
    shown = "The address of `--to-git`" if "@" in text else quoted(text)
    raise BadConfiguration(f"{shown} is not that of a git repository.", id="LN-6064", remedy=_HELP)


def _web(text: str, environ: Mapping[str, str]) -> Address:
    try:
        parts = urlsplit(text)
        host, password, user = parts.hostname, parts.password, unquote(parts.username or "")
    except ValueError:
        host, password, user = None, None, ""
    if not host or any(char.isspace() for char in text):
        raise BadConfiguration("The address of `--to-git` cannot be read.", id="LN-6064", remedy=_HELP)
    if password is not None:
        what = f"The address of `--to-git` has a password in it, which everybody on this machine could read ({host})."
        raise BadConfiguration(what, id="LN-6064", remedy=f"Take it out, and give it in {TOKEN}.")
    clean = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    token = environ.get(TOKEN, "").strip()
    if not token:
        named = ((f"credential.{clean}.username", user),) if user else ()
        return Address(clean, (*named, (f"http.{clean}.followRedirects", "false")))
    if parts.scheme == "http" and host not in _LOOPBACK:
        what = f"{clean} speaks plain http, and everybody between would read {TOKEN}."
        raise BadConfiguration(what, id="LN-6064", remedy="Use https.")
    word = f"{environ.get(USERNAME) or user or _ANYBODY}:{token}"
    header = f"Authorization: Basic {base64.b64encode(word.encode()).decode()}"
    return Address(clean, (
        # An empty one takes those away that the machine's settings have: servers refuse two of them.
        (f"http.{clean}.extraheader", ""), (f"http.{clean}.extraheader", header),
        # git would send the header to every address that the server redirects to.
        (f"http.{clean}.followRedirects", "false"),
        # No helper of the machine is asked in its place, or keeps it.
        ("credential.helper", ""),
    ))  # fmt: skip


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """What no log may show."""
    key, token = environ.get(SIGNING_KEY, ""), environ.get(TOKEN, "").strip()
    return [token, *([key] if _is_key(key) else [])]


def _is_key(text: str) -> bool:
    """Whether the text is a key itself, and not the name of one."""
    return "PRIVATE KEY" in text


def signing(
    environ: Mapping[str, str], folder: Path, *, before: Callable[[], None],
    at_end: Callable[[Callable[[], object]], None],
) -> tuple[_Settings, dict[str, str]]:  # fmt: skip
    """Settings for git that sign a commit with LINEAL_GIT_SIGNING_KEY, and variables for it; none without the key.

    The key is the text of an SSH or PGP private key, the path of an SSH one, or the name of a PGP key of the
    machine. A text becomes a file in `folder`, which is private to the run: `before` is called first. `at_end` is
    given what has to be done when the run ends. Raises `BadConfiguration`."""
    key = environ.get(SIGNING_KEY, "").strip()
    if not key:
        return (), {}
    if "BEGIN PGP PRIVATE KEY" in key:
        before()
        return _pgp(key, folder, environ, at_end)
    if _is_key(key):
        before()
        path = _written(folder / "signing-key", key + "\n")
        return _ssh(str(path)), {}
    if key.startswith(("ssh-", "ecdsa-", "sk-", "key::")):
        return _ssh(key if key.startswith("key::") else f"key::{key}"), {}
    path = Path(key).expanduser()
    if path.is_file():
        return _ssh(str(path.absolute())), {}
    if "/" in key:
        what = f"{SIGNING_KEY} names a file that is not there."
        raise BadConfiguration(what, id="LN-6063", remedy="Correct the path, or give the text of the key.")
    return (("gpg.format", "openpgp"), ("user.signingkey", key)), {}


def _ssh(key: str) -> _Settings:
    return ("gpg.format", "ssh"), ("user.signingkey", key)


def _pgp(
    key: str, folder: Path, environ: Mapping[str, str], at_end: Callable[[Callable[[], object]], None]
) -> tuple[_Settings, dict[str, str]]:
    home = folder / "gnupg"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    env = {"PATH": environ.get("PATH", ""), "GNUPGHOME": str(home), "HOME": str(home), "LC_ALL": "C.UTF-8"}
    at_end(lambda: _quiet(["gpgconf", "--kill", "all"], env))
    _quiet(["gpg", "--batch", "--import"], env, key)
    listed = _quiet(["gpg", "--batch", "--with-colons", "--list-secret-keys"], env)
    found = re.findall(r"^fpr:(?:[^:]*:){8}([0-9A-F]{40,64}):", listed, re.MULTILINE)
    if not found:
        what = f"gpg does not read the key in {SIGNING_KEY}, or is not installed."
        raise BadConfiguration(what, id="LN-6063", remedy="Export it with `gpg --export-secret-keys --armor`.")
    return (("gpg.format", "openpgp"), ("user.signingkey", found[0])), {"GNUPGHOME": str(home)}


def _quiet(command: list[str], env: Mapping[str, str], stdin: str = "") -> str:
    try:
        done = subprocess.run(command, env=env, input=stdin.encode(), capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path
