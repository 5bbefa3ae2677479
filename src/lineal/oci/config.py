"""The parts of an image's config that Lineal reads or changes, checked before anything believes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class _Container(msgspec.Struct, rename="pascal"):
    env: list[str] | None = None
    labels: dict[str, str] | None = None
    working_dir: str | None = None
    user: str | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    stop_signal: str | None = None
    cmd: list[str] | None = None
    entrypoint: list[str] | None = None
    shell: list[str] | None = None
    healthcheck: dict[str, Any] | None = None
    on_build: list[str] | None = None


class _Rootfs(msgspec.Struct):
    diff_ids: list[str] | None = None


class _Config(msgspec.Struct):
    """As the OCI image spec and Docker have it."""

    config: _Container | None = None
    rootfs: _Rootfs | None = None
    history: list[dict[str, Any]] | None = None
    created: str | None = None
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None


def check_config(config: Mapping[str, Any]) -> None:
    """Raises `ValueError` for the config of an image whose parts are of other kinds than they have to be."""
    msgspec.convert(config, _Config)
