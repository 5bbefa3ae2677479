"""Large RUNs: one on a parent of 2 GB that the engine does not have, and one that writes 1 GB."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import subprocess
import tarfile
from pathlib import Path

from bench.cases import Case, Shape, at_least
from bench.debian import cache
from tests.servers import Repository, base_layer, program, put

_LAYERS, _FILES, _SIZE = 8, 2560, 100_000
"""Of the parent: together 2 GB, of which half packs to nothing."""
_FORMAT = 1
"""Change it when the parent is made in another way: the kept one is then made again."""
_WRITTEN = 1 << 30
_DOWNLOAD = (
    "the link alone takes 41.4 s for the parent, so nobody can be 1.2 times as fast as a peer that needs less than "
    "49.7 s; a daemon is given layers as archives, which it unpacks when they are there"
)
_UPLOAD = (
    "the link takes 2.5 s for the base and 43 s for what is written, and the command some 4 s in between, so nobody "
    "can be 1.1 times as fast as a peer that needs less than 54.5 s"
)


def create(path: Path, base: str) -> Repository:
    """`base` is the small one: the large one is beside it in the registry."""
    repository = Repository.create(path)
    repository.write(
        {
            "Dockerfile": f"FROM {parent_of(base)}\nCOPY number /\nRUN cp /large/1/1 /copy\n",
            "lineal.yaml": "project: bench\nimages:\n  app: {}\n",
            "small": f"{base}\n",
            "number": "0",
        },
        "First commit",
    )
    return repository


def parent_of(base: str) -> str:
    return f"{base.partition('/')[0]}/large:{_FORMAT}"


def _change_command(repository: Repository, number: int) -> None:
    repository.write({"number": f"{number}"}, "Change a file before the command")


def _write(repository: Repository, number: int) -> None:
    base = (repository.path / "small").read_text().strip()
    command = f"head -c {_WRITTEN} /dev/urandom >/written && echo {number}"
    repository.write({"Dockerfile": f"FROM {base}\nRUN {command}\n"}, "Another command")


def push(registry: str) -> None:
    """Push the parent to a registry on this machine; it is made once and kept."""
    layout = cache() / f"bench-large-{_FORMAT}"
    if not (layout / "index.json").exists():
        print(f"making a base image of 2 GB in {layout} (about a minute)")
        _make(layout)
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{layout}:base", f"docker://{parent_of(registry)}"], check=True)


def _make(layout: Path) -> None:
    noise, layers, diff_ids = random.Random(1), [], []
    oci = "application/vnd.oci.image"
    for number in range(_LAYERS + 1):
        tar = _layer(number, noise) if number else base_layer()
        diff_ids.append(f"sha256:{hashlib.sha256(tar).hexdigest()}")
        layers.append(put(layout, f"{oci}.layer.v1.tar+gzip", gzip.compress(tar, 1, mtime=0)))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(layout, f"{oci}.config.v1+json", json.dumps(config).encode()),
        "layers": layers,
    }
    entry = put(layout, f"{oci}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    # Last: its presence says that the layout is complete.
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _layer(number: int, noise: random.Random) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in range(_FILES):
            data = noise.randbytes(_SIZE // 2).ljust(_SIZE)
            entry = tarfile.TarInfo(f"large/{number}/{file}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


LARGE = Shape(
    "large",
    "Large RUNs",
    create,
    [
        Case("a RUN on a new parent of 2 GB", at_least(1.2, 1.0, 1.0), runs=1, why=_DOWNLOAD),
        Case(
            "it changed, the engine lacks the parent", at_least(1.2, 1.0, 1.0), _change_command, runs=1, why=_DOWNLOAD
        ),
        Case("a RUN that writes 1 GB", at_least(1.1, 1.1, 1.1), _write, runs=1, why=_UPLOAD),
    ],
    prepare=push,
)
