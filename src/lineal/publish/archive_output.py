"""`--output type=oci,dest=FILE`: an archive of images that a build is to write, as docker's command says it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from lineal.errors import BadConfiguration
from lineal.text import did_you_mean, quoted
from lineal.value import dataclass

TYPES = ("oci", "docker")
STDOUT = "-"
_KEYS = ("type", "dest", "tar")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_HOW = "Write type=oci,dest=FILE or type=docker,dest=FILE."


@dataclass(frozen=True, slots=True)
class ArchiveOutput:
    """`dest` is a file, with `tar` false a directory, or `-` for the standard output."""

    type: str
    dest: str
    tar: bool = True

    def check(self) -> None:
        """Raises `BadConfiguration` where it could not be written: better now than after an hour of building."""
        if self.dest == STDOUT:
            return
        path = self.path
        if not path.parent.is_dir():
            _refuse(f"There is no directory for the archive {quoted(self.dest)}.", "Make it, or correct --output.")
        if self.tar and path.exists() and not path.is_file():
            _refuse(
                f"The archive cannot be {quoted(self.dest)}, which is no file.",
                "Name a file; `type=oci,dest=DIRECTORY,tar=false` makes a directory.",
            )
        if not self.tar and path.exists() and not (path.is_dir() and not any(path.iterdir())):
            _refuse(
                f"{quoted(self.dest)} is there already, and an archive's directory has to be a new or an empty one.",
                "Remove it, or name another.",
            )

    @property
    def path(self) -> Path:
        """From the working directory; what a link leads to, so that the link stays."""
        return Path(self.dest).resolve()


def parse_outputs(texts: tuple[str, ...], origin: str) -> tuple[ArchiveOutput, ...]:
    """Raises `BadConfiguration` for what is no output, and for two that would be one file. `origin` names the flag
    or the variable."""
    found: list[ArchiveOutput] = []
    for text in texts:
        one = _parse(text, origin)
        if any(other.dest == one.dest or other.path == one.path for other in found):
            _refuse(f"Two of {origin} would write {quoted(one.dest)}.", "Give each a `dest` of its own.")
        found.append(one)
    return tuple(found)


def _parse(text: str, origin: str) -> ArchiveOutput:
    options = _options(text, origin)
    kind, dest, tar = options.get("type", ""), options.get("dest", ""), options.get("tar", "true").lower()
    start = f"{origin} {quoted(text)}"
    if not kind:
        _refuse(f"{start} has no type.", _HOW)
    if kind not in TYPES:
        _refuse(f"{start} has the type {quoted(kind)}, which is none that Lineal writes.", _HOW)
    if not dest or "\0" in dest:
        load = " To have it in the Docker Engine, write --load." if kind == "docker" else ""
        _refuse(f"{start} does not say where to write the archive.", _HOW + load)
    if tar not in _FLAGS:
        _refuse(f"{start}: `tar` is {quoted(tar)}, neither true nor false.", "Write tar=false, or leave it out.")
    if not _FLAGS[tar] and (kind == "docker" or dest == STDOUT):
        _refuse(f"{start}: only type=oci can be a directory, which has a name.", "Leave out `tar=false`.")
    return ArchiveOutput(kind, dest, _FLAGS[tar])


def _options(text: str, origin: str) -> Mapping[str, str]:
    """The fields, which may be quoted as in CSV: a name with a comma is `"dest=a,b"`."""
    import csv

    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        _refuse(f"{origin} {quoted(text)} cannot be read: {error}.", _HOW)
    found: dict[str, str] = {}
    for field in fields:
        key, separator, value = field.partition("=")
        key = key.strip().lower()
        if not separator:
            _refuse(f"{origin} {quoted(text)}: {quoted(field)} is not KEY=VALUE.", _HOW)
        if key not in _KEYS:
            remedy = did_you_mean(key, _KEYS, owner="An output")
            _refuse(f"{origin} {quoted(text)} has the key {quoted(key)}, which is not known.", remedy)
        if key in found:
            _refuse(f"{origin} {quoted(text)} has the key {quoted(key)} twice.", "Leave one out.")
        found[key] = value.strip() if key != "dest" else value
    return found


def _refuse(what: str, remedy: str) -> NoReturn:
    raise BadConfiguration(what, id="LN-1034", remedy=remedy)
