"""The base image: Debian trixie by debootstrap, with the packages that the bench installs in a repository of its own.

So the network has no part in what is measured, for neither side."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.process import Failed
from tests.servers import program, put

PACKAGES = ("python3", "python3-flask")
_SUITE = "trixie"
NAME = f"debian:{_SUITE}-slim"
"""In a registry."""
_REPOSITORY = "opt/debs"
_FORMAT = 1
"""Change it when the image is made in another way: the kept one is then made again."""


def cache() -> Path:
    """Where `make` commands keep what they share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test"


def push(reference: str) -> None:
    """Push the base image to a registry on this machine; it is made once and kept."""
    layout = cache() / f"bench-{_SUITE}-{_FORMAT}"
    if not (layout / "index.json").exists():
        _make(layout)
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{layout}:base", f"docker://{reference}"], check=True)


def _make(layout: Path) -> None:
    if os.geteuid() != 0:
        raise Failed(
            "The bench makes its Debian base image with debootstrap, which needs root: run `make bench` as root."
        )
    print(f"making the Debian base image in {layout} (about a minute)")
    tree = layout.with_name(layout.name + ".tree")
    for leftover in (layout, tree):
        shutil.rmtree(leftover, ignore_errors=True)
    _call([program("debootstrap"), "--variant=minbase", _SUITE, str(tree)])
    _fetch_packages(tree)
    write_layout(tree, layout)
    shutil.rmtree(tree)


def _fetch_packages(tree: Path) -> None:
    """Turn what apt downloads for PACKAGES into a repository inside the tree, the only one that it knows."""
    apt = ["chroot", str(tree), "apt-get", "-q"]
    _call([*apt, "clean"])
    _call([*apt, "update"])
    _call([*apt, "install", "--download-only", "--yes", "--no-install-recommends", *PACKAGES])
    repository = tree / _REPOSITORY
    repository.mkdir()
    index = []
    for deb in sorted((tree / "var/cache/apt/archives").glob("*.deb")):
        kept = deb.rename(repository / deb.name)
        data = kept.read_bytes()
        fields = _call(["dpkg-deb", "--field", str(kept)]).strip()
        checksum = hashlib.sha256(data).hexdigest()
        index.append(f"{fields}\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {checksum}\n")
    (repository / "Packages").write_text("\n".join(index))
    _call([*apt, "clean"])
    for name in ("resolv.conf", "hostname"):
        (tree / "etc" / name).unlink(missing_ok=True)
    (tree / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{_REPOSITORY} ./\n")
    for leftover in (tree / "var/lib/apt/lists").iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def write_layout(tree: Path, layout: Path, level: int = 1) -> None:
    """The tree as an OCI Image Layout of one gzip layer, with the tag `base`."""
    layout.mkdir(parents=True)
    plain, packed = layout / "layer.tar", layout / "layer.tar.gz"
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name)
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=level) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    config = {
        "architecture": _call(["dpkg", "--print-architecture"]).strip(),
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain.read_bytes()).hexdigest()}"]},
    }
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(layout, f"{oci}.config.v1+json", json.dumps(config).encode()),
        "layers": [put(layout, f"{oci}.layer.v1.tar+gzip", packed.read_bytes())],
    }
    entry = put(layout, f"{oci}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for leftover in (plain, packed):
        leftover.unlink()
    # Last: its presence says that the layout is complete.
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _call(argv: Sequence[str]) -> str:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(list(argv), env=env, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout)[-1000:]}")
    return done.stdout
