"""The flags of a run as they were given, before variables and the configuration are asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field

from lineal.config.image_flags import ImageFlags
from lineal.value import dataclass


@dataclass(frozen=True)
class Options:
    """None or empty when a flag was not given. `environ` is the environment that the run sees."""

    repo: str | None = None
    env: str | None = None
    namespace: str | None = None
    release: str | None = None
    kube_context: str | None = None
    kube_version: str | None = None
    timeout: str | None = None
    report: str | None = None
    report_html: str | None = None
    dotenv: str | None = None
    template: str | None = None
    bundle_version: str | None = None
    bundle_repo: str | None = None
    policy: str | None = None
    lock: str | None = None
    engine: str | None = None
    platform: tuple[str, ...] = ()
    engine_network: str | None = None
    jobs: int | None = None
    keep_days: int | None = None
    dev: bool | None = None
    ignore_uncommitted: bool | None = None
    skip_unchanged: bool | None = None
    skip_schema_validation: bool | None = None
    take_ownership: bool | None = None
    server_side: bool | None = None
    overwrite_tag: bool | None = None
    load: bool | None = None
    no_cache_mounts: bool | None = None
    diff: bool | None = None
    dry_run: bool | None = None
    values: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    var: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    insecure_registry: tuple[str, ...] = ()
    registry_mirror: tuple[str, ...] = ()
    build_output: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    render_template: tuple[str, ...] = ()
    ignore_ref: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    kube_contexts: tuple[str, ...] = ()
    image: ImageFlags = ImageFlags()
    """An image of a commit without a `lineal.yaml`, and the words of the command line."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
