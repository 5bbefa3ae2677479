"""Where a repository's GitHub is: github.com, or a server of its own."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def server_of(environ: Mapping[str, str]) -> str:
    """`https://github.com`, without a slash at its end."""
    return (environ.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/")


def registry_of(environ: Mapping[str, str]) -> str:
    """The forge's container registry, the only one that knows its tokens. Raises `ValueError` for no URL."""
    host = urlsplit(server_of(environ)).hostname or "github.com"
    return "ghcr.io" if host == "github.com" else f"containers.{host}"
