"""The mirrors of Docker Hub that an engine is set up with (`registry-mirrors`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lineal.engine.docker.client import Client
from lineal.errors import LinealError

SECONDS = 3.0
"""An engine that is slower has no say: the bases come from Docker Hub then."""
FILE = Path("/etc/docker/daemon.json")


def registry_mirrors(environment: Mapping[str, str]) -> list[str]:
    """URLs, the first one is asked first. Where no engine answers, those of its configuration on this machine."""
    try:
        info = Client(environment, timeout=SECONDS).json("GET", "/info", "tell its mirrors")
    except LinealError:
        return _urls(_configured(FILE), "registry-mirrors")
    return _urls(info.get("RegistryConfig") if isinstance(info, dict) else None, "Mirrors")


def _configured(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _urls(document: object, key: str) -> list[str]:
    found = document.get(key) if isinstance(document, dict) else None
    return [url for url in found if isinstance(url, str)] if isinstance(found, list) else []
