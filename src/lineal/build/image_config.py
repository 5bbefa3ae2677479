"""Image configs to start from: of nothing, or a parent's to change."""

from __future__ import annotations

import copy
import time

from lineal.dockerfile import metadata
from lineal.dockerfile.scope import DEFAULT_PATH
from lineal.oci.types import Image, ImageConfig
from lineal.tar.writer import MTIME

# Configs of assembled stages carry the parent's time, so that equal inputs give equal bytes on every machine.
NO_TIME = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(MTIME))


def scratch(platform: str) -> ImageConfig:
    os_name, architecture, *variant = platform.split("/")
    return {
        "created": NO_TIME,
        "architecture": architecture,
        "os": os_name,
        **({"variant": variant[0]} if variant else {}),
        "config": {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def copy_of(image: Image) -> ImageConfig:
    document: ImageConfig = copy.deepcopy(image.config_json)
    for name, empty in (("config", {}), ("history", [])):
        document[name] = document.get(name) or empty
    # The engine's notes about the container that once made the base say nothing about this image.
    for name in ("container", "container_config", "docker_version", "id", "parent"):
        document.pop(name, None)
    return document


def taken_over(base: Image, reference: str) -> ImageConfig | bytes:
    """The base's config as it is, or with what BuildKit adds: the PATH where there is none (`docker import`), the
    entries of the history by which each layer has its own, and the processor that its index names it for."""
    document = copy_of(base)
    changed = without_path = "PATH" not in metadata.environment(document["config"])
    if base.listed_as and base.platform and base.listed_as.split("/")[:2] != base.platform.split("/")[:2]:
        document["os"], document["architecture"], *variant = base.listed_as.split("/")
        document.pop("variant", None)
        document |= {"variant": variant[0]} if variant else {}
        changed = True
    if without_path:
        document["config"]["Env"] = [*(document["config"].get("Env") or []), f"PATH={DEFAULT_PATH}"]
    history, left = document["history"], len(base.layers)
    for entry in history:
        if not entry.get("empty_layer") and (left := left - 1) < 0:
            entry["empty_layer"] = changed = True
    entry = {"created": document.get("created") or NO_TIME, "created_by": f"pulled from {reference}"}
    history += [{**entry, "comment": "lineal"} for _ in range(left)]
    return document if changed or left > 0 else base.config
