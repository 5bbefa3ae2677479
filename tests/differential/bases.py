"""The base images of bases.yaml, pushed to a registry."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests import servers
from tests.differential import declared

FILE = Path(__file__).with_name("bases.yaml")
_OCI = "application/vnd.oci.image"


def names() -> list[str]:
    return list(_declared())


def push(registry: str, directory: Path) -> dict[str, str]:
    """Build argument -> reference, for all of them."""
    found = {}
    for name, base in _declared().items():
        _write(directory / name, base)
        found[name] = f"{registry}/{name.lower()}:1"
        copy = [servers.program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{directory / name}:base", f"docker://{found[name]}"], check=True, timeout=300)
    return found


def _declared() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def _write(layout: Path, base: dict[str, Any]) -> None:
    layers = [declared.archive(_busybox())] if base.get("busybox") else []
    layers += [declared.archive(layer) for layer in base["layers"]]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": base["config"],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": [{"created": "2020-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(layers))],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": servers.put(layout, f"{_OCI}.config.v1+json", json.dumps(config).encode()),
        "layers": [servers.put(layout, f"{_OCI}.layer.v1.tar", layer) for layer in layers],
    }
    entry = servers.put(layout, f"{_OCI}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _busybox() -> declared.Declared:
    program = Path(servers.program("busybox"))
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    data = program.read_bytes().decode("utf-8", "surrogateescape")
    return {
        "usr/": {},
        "usr/bin/": {},
        "usr/bin/busybox": {"text": data, "mode": "0o755"},
        **{f"usr/bin/{applet}": {"link": "busybox"} for applet in sorted(set(listed) - {"busybox"})},
        "bin": {"link": "usr/bin"},
    }
