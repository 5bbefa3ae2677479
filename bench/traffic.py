"""What a registry was asked for, by its own access log: evidence that does not come from Lineal."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_LINE = re.compile(r'^\S+ - - \[[^]]*\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d+) (?P<size>\d+) '
                   r'"[^"]*" "(?P<agent>[^"]*)"')  # fmt: skip
_INDEX = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Traffic:
    requests: int
    bytes_read: int
    """Bytes of answers' bodies."""
    blobs: frozenset[str]
    """Digests of the blobs whose content was read."""
    through_lineal: frozenset[str]
    """Of the blobs that Lineal's own process read or wrote."""
    bytes_again: int
    """Of the blobs that were read whole after they had been read or written."""


class AccessLog:
    """The log of a docker-registry in a directory of `tests.servers.docker_registry`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "log"
        self._position = 0

    def skip(self) -> None:
        """Forget what there was until now."""
        self._position = self._path.stat().st_size

    def take(self) -> Traffic:
        """What there was since `skip`."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            entries = [found for line in file if (found := _LINE.match(line.decode(errors="replace")))]
        read = {
            entry["path"].rpartition("/")[2]
            for entry in entries
            if entry["method"] == "GET" and "/blobs/" in entry["path"] and entry["status"] in ("200", "206")
        }
        ours = [entry for entry in entries if entry["agent"].startswith("lineal/")]
        through = {entry["path"].rpartition("/")[2] for entry in ours if entry["method"] == "GET"}
        through |= {unquote(entry["path"].rpartition("digest=")[2]) for entry in ours if entry["method"] == "PUT"}
        # The size of an answer to HEAD is what a GET would have given.
        size = sum(int(entry["size"]) for entry in entries if entry["method"] != "HEAD")
        return Traffic(len(entries), size, frozenset(read), frozenset(through), _again(entries))


def _again(entries: Sequence[re.Match[str]]) -> int:
    had: set[str] = set()
    again = 0
    for entry in entries:
        if entry["method"] == "PUT" and "digest=" in entry["path"]:
            had.add(unquote(entry["path"].rpartition("digest=")[2].partition("&")[0]))
        elif entry["method"] == "GET" and "/blobs/" in entry["path"] and entry["status"] == "200":
            digest = entry["path"].rpartition("/")[2]
            again += int(entry["size"]) if digest in had else 0
            had.add(digest)
    return again


def layers(reference: str) -> dict[str, int]:
    """The layers, digest -> bytes, of `HOST/REPOSITORY:TAG@DIGEST`, on a registry without TLS."""
    address, _, digest = reference.partition("@")
    host, _, rest = address.partition("/")
    repository = rest.rpartition(":")[0]
    index = _manifest(host, repository, digest)
    image = _manifest(host, repository, index["manifests"][0]["digest"])
    return {layer["digest"]: layer["size"] for layer in image["layers"]}


def _manifest(host: str, repository: str, digest: str) -> Any:
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{digest}", headers={"Accept": _INDEX})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
