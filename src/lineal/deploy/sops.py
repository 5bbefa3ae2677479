"""Values files that are encrypted with sops: recognised here, decrypted by the sops program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lineal import process
from lineal.config.secrets import SecretValues
from lineal.deploy.helm.environment import CLOUDS, MACHINE, OURS
from lineal.deploy.values import ValuesText
from lineal.errors import BadConfiguration, DeployFailed, Location
from lineal.text import printable

_NAMED = re.compile(r"\.enc\.(ya?ml|json)(\.j2)?$")
_MENTIONED = re.compile(r"^\s*[{,]?\s*[\"']?sops[\"']?\s*:", re.MULTILINE)
_CIPHERTEXT = "ENC["
_SECONDS = 120.0
"""Seconds that sops may take for one file."""
_FAMILIES = (*CLOUDS, "SOPS_", "VAULT_", "GNUPG", "GPG_", "LC_", "XDG_", "IDENTITY_", "MSI_", "GCE_METADATA_")
_PROGRAM = re.compile(r"SOPS_\w*_CMD")
"""Names a program of the job that gives a key."""
_NEVER = (*OURS, "COSIGN_", "SIGSTORE_", "ACTIONS_ID_TOKEN_")


def is_encrypted(file: ValuesText) -> bool:
    """Whether a values file is encrypted. Raises `BadConfiguration` for one that only has the name of such a file."""
    encrypted = "mac" in _metadata(file.text)
    if encrypted and file.name.endswith(".j2"):
        what = "is encrypted with sops and a template, and an encrypted file cannot be rendered."
        raise BadConfiguration(what, id="LN-6038", place=Location(file.name), remedy="Take `.j2` off its name.")
    if not encrypted and _NAMED.search(file.name):
        what = "has the name of an encrypted file, but everybody can read it."
        remedy = "Run `sops --encrypt --in-place` on it, or give it another name."
        raise BadConfiguration(what, id="LN-6038", place=Location(file.name), remedy=remedy)
    return encrypted


def _metadata(text: str) -> Mapping[str, Any]:
    if not _MENTIONED.search(text):
        return {}
    read = _read(text)
    found = read.get("sops") if isinstance(read, dict) else None
    return found if isinstance(found, dict) else {}


def _read(text: str) -> Any:
    """The YAML with every value as a text; None when it cannot be read."""
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506 (texts only)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Sops:
    """The sops program."""

    path: str
    environ: Mapping[str, str]
    secrets: SecretValues
    """Learns the decrypted values, so that no message shows them."""
    directory: Path
    """Encrypted files are written here for sops; decrypted ones are not."""

    @classmethod
    def find(cls, environ: Mapping[str, str], secrets: SecretValues, directory: Path, file: str) -> Sops:
        """Raises `BadConfiguration` when there is no sops on PATH; `file` needs it."""
        found = shutil.which("sops", path=environ.get("PATH", ""))
        if found is None:
            what = "is encrypted with sops, and there is no sops on PATH."
            remedy = "Install sops (https://getsops.io) where this runs."
            raise BadConfiguration(what, id="LN-6039", place=Location(file), remedy=remedy)
        return cls(found, environ, secrets, directory)

    def decrypted(self, file: ValuesText) -> ValuesText:
        """The file with its plain values.

        Raises `DeployFailed` when sops has no key for it, or it was changed without sops; `Interrupted`."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.directory / "encrypted"
        path.write_text(file.text, encoding="utf-8")
        kind = "json" if file.name.endswith(".json") else "yaml"
        command = [self.path, "--decrypt", "--input-type", kind, "--output-type", "yaml", str(path)]
        said: dict[process.Stream, list[bytes]] = {"stdout": [], "stderr": []}
        try:
            outcome = process.run(
                command, env=_environment(self.environ), output=lambda stream, line: said[stream].append(line),
                grace=5.0, limit=_SECONDS,
            )  # fmt: skip
        except OSError as error:
            raise BadConfiguration(
                f"{self.path} cannot be run: {error.strerror}.", id="LN-6039", remedy="Install it again."
            ) from None
        finally:
            path.unlink(missing_ok=True)
        outcome.or_interrupted(f"Decrypting {file.name}")
        if outcome.code != 0:
            reason = printable(" ".join(b"".join(said["stderr"]).decode("utf-8", "replace").split()), 500)
            what = f"sops cannot open it: {reason.rstrip('. ')}."
            raise DeployFailed(
                what, id="LN-6040", place=Location(file.name), remedy="Give this job the key, such as SOPS_AGE_KEY."
            )
        text = b"".join(said["stdout"]).decode("utf-8", "replace")
        self.secrets.hide(_secrets(_read(file.text), _read(text)))
        return replace(file, text=text)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the job's environment that sops finds keys with. A program that the job names for that may need any
    variable, so it gets all but our own secrets."""
    if any(map(_PROGRAM.fullmatch, environ)):
        return {name: value for name, value in environ.items() if not name.startswith(_NEVER)}
    return {
        name: value for name, value in environ.items() if name.upper() in MACHINE or name.startswith(_FAMILIES)
    }  # fmt: skip


def _secrets(encrypted: Any, plain: Any) -> Iterator[str]:
    """The values that were encrypted: a file may have others beside them."""
    if isinstance(encrypted, dict) and isinstance(plain, dict):
        for key in plain:
            yield from _secrets(encrypted.get(key), plain[key])
    elif isinstance(encrypted, list) and isinstance(plain, list):
        for before, after in zip(encrypted, plain, strict=False):
            yield from _secrets(before, after)
    elif isinstance(encrypted, str) and encrypted.startswith(_CIPHERTEXT) and isinstance(plain, str):
        yield plain


def decrypted(
    files: Iterable[ValuesText], environ: Mapping[str, str], secrets: SecretValues, directory: Path
) -> list[ValuesText]:
    """The same files, in order, with every encrypted one decrypted."""
    return [
        Sops.find(environ, secrets, directory, file.name).decrypted(file) if is_encrypted(file) else file
        for file in files
    ]


def split(files: Iterable[ValuesText]) -> tuple[list[ValuesText], list[ValuesText]]:
    """The plain files and the encrypted ones, for a bundle.

    Raises `BadConfiguration` when a plain one would win over an encrypted one."""
    plain: list[ValuesText] = []
    encrypted: list[ValuesText] = []
    for file in files:
        if is_encrypted(file):
            encrypted.append(file)
        elif encrypted:
            what = f"comes after the encrypted {encrypted[-1].name}, but in a bundle encrypted values come last."
            raise BadConfiguration(
                what, id="LN-6038", place=Location(file.name), remedy="Put it before the encrypted ones."
            )
        else:
            plain.append(file)
    return plain, encrypted
