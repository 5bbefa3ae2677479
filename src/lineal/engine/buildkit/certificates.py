"""The certificates for daemons reached by TCP whose addresses name none, from variables: files, or what would be in
them, as a secret of a CI has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lineal.engine.buildkit.address import Address, Tls
from lineal.errors import BadConfiguration
from lineal.text import quoted

_PREFIX = "LINEAL_BUILDKIT_"
_FILES = ("CACERT", "CERT", "KEY")
_PEM = "-----BEGIN "


def certified(addresses: Sequence[Address], environ: Mapping[str, str], workspace: Path) -> tuple[Address, ...]:
    """The addresses with the certificates of `LINEAL_BUILDKIT_CACERT`, `_CERT`, `_KEY` and `_SERVERNAME`, where they
    have none of their own. What is written out in a variable goes to a private file in `workspace`.

    Raises `BadConfiguration`."""
    given = {name: value for name in (*_FILES, "SERVERNAME") if (value := environ.get(_PREFIX + name, "").strip())}
    bare = [address for address in addresses if address.scheme == "tcp" and address.tls is None]
    if not given or not bare:
        return tuple(addresses)
    if ("CERT" in given) != ("KEY" in given):
        one, other = ("CERT", "KEY") if "CERT" in given else ("KEY", "CERT")
        raise BadConfiguration(
            f"{_PREFIX}{one} is set and {_PREFIX}{other} is not: a certificate and its key go together.",
            id="LN-5040", remedy=f"Set {_PREFIX}{other} too.",
        )  # fmt: skip
    files = {name.lower(): _file(name, given[name], workspace) for name in _FILES if name in given}
    tls = Tls(**files, servername=given.get("SERVERNAME", ""))
    return tuple(replace(address, tls=tls) if address in bare else address for address in addresses)


def _file(name: str, value: str, workspace: Path) -> Path:
    if value.startswith(_PEM):
        path = workspace / f"buildkit-{name.lower()}.pem"
        path.touch(0o600)
        path.write_text(f"{value}\n")
        return path
    path = Path(value).expanduser()
    if not path.is_file():
        # It may be a part of a key.
        shown = quoted(value) if len(value) < 256 and "\n" not in value else "something"
        raise BadConfiguration(
            f"{_PREFIX}{name} names {shown}, where no file is.",
            id="LN-5040", remedy=f"Give the path of a file in PEM, or its content, which begins with `{_PEM}…`.",
        )  # fmt: skip
    return path
