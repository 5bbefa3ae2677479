"""Charts that are not in the commit: helm fetches them from `oci://` or `https://`, pinned by version or digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lineal.deploy.helm import errors
from lineal.deploy.helm.chart_archive import unpack
from lineal.deploy.helm.client import Answer, Helm
from lineal.deploy.release import PIN, Chart, is_pin, not_pinned
from lineal.errors import BadConfiguration, DeployFailed, Unreachable
from lineal.text import quoted

_HTTPS = re.compile(
    r"(?P<folder>https://[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~%+-]+)*)/"
    r"(?:(?P<file>[A-Za-z0-9._+-]+\.tgz)|(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?::(?P<version>[A-Za-z0-9._+-]+))?)"
    r"(?:@sha256:(?P<digest>[0-9a-f]{64}))?"
)
_VERSIONED = re.compile(rf"-{PIN}\.tgz$", re.ASCII)
_BIGGEST = 64 << 20
"""Bytes of a chart's archive."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A chart behind `https://`: an archive (`file`), or a name and version in a chart repository (`folder`)."""

    written: str
    folder: str
    file: str
    name: str
    version: str
    digest: str
    """SHA-256 in hex; empty when only the version pins the chart."""

    @classmethod
    def parse(cls, written: str) -> Pinned:
        """Raises `BadConfiguration` for an address that is no chart, or may mean another chart tomorrow."""
        found = _HTTPS.fullmatch(written)
        if found is None:
            what = f"{quoted(written)} is not a chart behind https."
            raise BadConfiguration(
                what, id="LN-6007", remedy="Write `https://host/charts/NAME:1.2.3` or `https://…/NAME-1.2.3.tgz`."
            )
        parts = {key: value or "" for key, value in found.groupdict().items()}
        named, digest = parts["name"], parts["digest"]
        if not parts["version"] if named else not _VERSIONED.search(parts["file"]) and not digest:
            what = f"The chart {quoted(written)} has no version, so every run might deploy another one."
            raise BadConfiguration(
                what, id="LN-6007", remedy="Write its version (`NAME:1.2.3`), or `@sha256:…` behind an archive."
            )
        if named and not is_pin(parts["version"]):
            raise not_pinned(written, parts["version"])
        return cls(written, **parts)

    def arguments(self) -> list[str]:
        if self.file:
            return ["--", f"{self.folder}/{self.file}"]
        return ["--repo", self.folder, "--version", self.version, "--", self.name]


def fetch(helm: Helm, written: str, directory: Path, output: Callable[[str], None], *, plain_http: bool) -> Chart:
    """Fetch the chart `written` as an archive in `directory`. Raises `DeployFailed`, `Unreachable`, `Interrupted`."""
    pinned = Pinned.parse(written) if written.startswith("https://") else None
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = ["--destination", str(directory), *(["--plain-http"] if plain_http else [])]
    answer = helm.run(["pull", *flags, *(pinned.arguments() if pinned else ["--", written])], output=output)

    def failure(answer: Answer) -> Unreachable:
        what = f"helm could not fetch the chart {written}: {errors.sentence(errors.reason_of(answer.stderr))}"
        return Unreachable(
            what, id="LN-6009", remedy="Check its address and version, and that this machine may read it."
        )

    answer.or_raise(f"Fetching the chart {written}", failure)
    found = list(directory.glob("*.tgz"))
    if len(found) != 1:
        raise failure(answer)
    if pinned and pinned.digest:
        _check(found[0], pinned)
    return Chart(str(found[0]), written)


def _check(file: Path, pinned: Pinned) -> None:
    with file.open("rb") as read:
        digest = hashlib.file_digest(read, "sha256").hexdigest()
    if digest != pinned.digest:
        what = f"The chart {pinned.written} is another one now: its digest is sha256:{digest}."
        raise DeployFailed(
            what, id="LN-6010", remedy="Find out who changed it, and correct `deploy.chart` if that was meant."
        )


def unpacked(chart: Chart, directory: Path) -> Chart:
    """Unpack a fetched chart into `directory`, which must not exist yet.

    Raises `DeployFailed`, `BadConfiguration`, `Unreachable`."""
    file = Path(chart.location)
    if file.stat().st_size > _BIGGEST:
        raise DeployFailed(
            f"The chart {chart.name} is larger than {_BIGGEST >> 20} MiB.", id="LN-6011", remedy="Make it smaller."
        )
    _name, files = unpack(file.read_bytes(), f"The chart {chart.name}")
    try:
        for path, content in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        what = f"The chart {chart.name} cannot be unpacked in {directory.parent}: {error.strerror}."
        raise Unreachable(what, id="LN-9003", remedy="Make room there, or point TMPDIR at another disk.") from None
    return Chart.directory(directory, chart.name)
