"""Values files that are encrypted with sops: recognised, and opened by the sops program. No cryptography of ours."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lineal import process
from lineal.config.secrets import SecretValues
from lineal.deploy.values import ValuesText
from lineal.errors import BadConfiguration, DeployFailed, Location
from lineal.text import printable

_NAMED = re.compile(r"\.enc\.(ya?ml|json)(\.j2)?$")
_MENTIONED = re.compile(r"^\s*[{,]?\s*[\"']?sops[\"']?\s*:", re.MULTILINE)
_CIPHERTEXT = "ENC["
_SECONDS = 120.0


def is_encrypted(file: ValuesText) -> bool:
    """Whether a values file is encrypted. Raises `BadConfiguration` for one that only has the name of such a file."""
    sealed = "mac" in _metadata(file.text)
    if sealed and file.name.endswith(".j2"):
        what = "is encrypted with sops and a template, and what is encrypted cannot be rendered."
        raise BadConfiguration(what, place=Location(file.name), remedy="Take `.j2` off its name.")
    if not sealed and _NAMED.search(file.name):
        what = "has the name of an encrypted file, but everybody can read it."
        remedy = "Run `sops --encrypt --in-place` on it, or give it another name."
        raise BadConfiguration(what, place=Location(file.name), remedy=remedy)
    return sealed


def _metadata(text: str) -> Mapping[str, Any]:
    if not _MENTIONED.search(text):
        return {}
    read = _read(text)
    found = read.get("sops") if isinstance(read, dict) else None
    return found if isinstance(found, dict) else {}


def _read(text: str) -> Any:
    """Every value as a text; None when it cannot be read."""
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506 (texts only)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Sops:
    path: str
    environ: Mapping[str, str]
    secrets: SecretValues
    """Learns the values, so that no message shows them."""
    directory: Path
    """For encrypted files: nothing that is opened is written here."""

    @classmethod
    def find(cls, environ: Mapping[str, str], secrets: SecretValues, directory: Path, file: str) -> Sops:
        """Raises `BadConfiguration` when there is no sops on PATH; `file` needs it."""
        found = shutil.which("sops", path=environ.get("PATH", ""))
        if found is None:
            what = "is encrypted with sops, and there is no sops on PATH."
            remedy = "Install sops (https://getsops.io) where this runs."
            raise BadConfiguration(what, place=Location(file), remedy=remedy)
        return cls(found, environ, secrets, directory)

    def opened(self, file: ValuesText) -> ValuesText:
        """Raises `DeployFailed` when sops has no key for it, or it was changed without sops; `Interrupted`."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.directory / "sealed"
        path.write_text(file.text, encoding="utf-8")
        kind = "json" if file.name.endswith(".json") else "yaml"
        command = [self.path, "--decrypt", "--input-type", kind, "--output-type", "yaml", str(path)]
        said: dict[process.Stream, list[bytes]] = {"stdout": [], "stderr": []}
        try:
            outcome = process.run(
                command, env=self.environ, output=lambda stream, line: said[stream].append(line), grace=5.0,
                limit=_SECONDS,
            )  # fmt: skip
        except OSError as error:
            raise BadConfiguration(
                f"{self.path} cannot be run: {error.strerror}.", remedy="Install it again."
            ) from None
        finally:
            path.unlink(missing_ok=True)
        outcome.or_interrupted(f"Decrypting {file.name}")
        if outcome.code != 0:
            reason = printable(" ".join(b"".join(said["stderr"]).decode("utf-8", "replace").split()), 500)
            what = f"sops cannot open it: {reason.rstrip('. ')}."
            raise DeployFailed(what, place=Location(file.name), remedy="Give this job the key, such as SOPS_AGE_KEY.")
        text = b"".join(said["stdout"]).decode("utf-8", "replace")
        self.secrets.hide(_secrets(_read(file.text), _read(text)))
        return replace(file, text=text)


def _secrets(sealed: Any, opened: Any) -> Iterator[str]:
    """The values that were encrypted: a file may have others beside them."""
    if isinstance(sealed, dict) and isinstance(opened, dict):
        for key in opened:
            yield from _secrets(sealed.get(key), opened[key])
    elif isinstance(sealed, list) and isinstance(opened, list):
        for before, after in zip(sealed, opened, strict=False):
            yield from _secrets(before, after)
    elif isinstance(sealed, str) and sealed.startswith(_CIPHERTEXT) and isinstance(opened, str):
        yield opened


def decrypted(
    files: Iterable[ValuesText], environ: Mapping[str, str], secrets: SecretValues, directory: Path
) -> list[ValuesText]:
    """The same files, in order, with every encrypted one opened."""
    return [
        Sops.find(environ, secrets, directory, file.name).opened(file) if is_encrypted(file) else file
        for file in files
    ]


def split(files: Iterable[ValuesText]) -> tuple[list[ValuesText], list[ValuesText]]:
    """Open ones and encrypted ones, for a bundle. Raises `BadConfiguration` when an open one would win."""
    plain: list[ValuesText] = []
    sealed: list[ValuesText] = []
    for file in files:
        if is_encrypted(file):
            sealed.append(file)
        elif sealed:
            what = f"comes after the encrypted {sealed[-1].name}, but in a bundle encrypted values come last."
            raise BadConfiguration(what, place=Location(file.name), remedy="Put it before the encrypted ones.")
        else:
            plain.append(file)
    return plain, sealed
