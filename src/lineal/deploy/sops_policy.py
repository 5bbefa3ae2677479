"""The key services that an encrypted file of somebody else may name.

sops contacts every key service that the file names, with this job's credentials. This module allows only known
services. It must read the file as sops does: it refuses any text that two readers may understand differently, and any
kind of key that it does not know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lineal.deploy.values import ValuesText
from lineal.errors import BadConfiguration, Location
from lineal.text import quoted

_FIELDS = {
    "age": {"recipient", "enc"},
    "pgp": {"fp", "enc", "created_at"},
    "gcp_kms": {"resource_id", "enc", "created_at"},
    "kms": {"arn", "role", "context", "aws_profile", "enc", "created_at"},
    "azure_kv": {"vault_url", "name", "version", "enc", "created_at"},
    "hc_vault": {"vault_address", "engine_path", "key_name", "enc", "created_at"},
}
# sops makes the region a part of a host's name.
_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]+:(key|alias)/[\w/.-]+", re.ASCII)
_ROLE = re.compile(r"(arn:aws[a-z-]*:iam::[0-9]+:role/[\w+=,.@/-]+)?", re.ASCII)
_AZURE = re.compile(
    r"https://[a-z0-9-]+\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net|managedhsm\.azure\.net)/?",
    re.ASCII | re.IGNORECASE,
)
_SEGMENTS = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", re.ASCII)
_ADDRESS = re.compile(r"(https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?)((?:/[\w.-]+)*)/?", re.ASCII | re.I)
_DISTRUST = "Do not use it, or have its author encrypt the file again with sops."
_USE_OURS = "Set VAULT_ADDR to it if that is the Vault of this job, else do not use this file."


def check(files: Iterable[ValuesText], environ: Mapping[str, str]) -> None:
    """Raises `BadConfiguration` for a file that would send this job's credentials elsewhere."""
    for file in files:
        try:
            _check(_metadata(file), environ)
        except _Refused as error:
            raise BadConfiguration(
                error.args[0], id="LN-6041", place=Location(file.name), remedy=error.args[1]
            ) from None


class _Refused(Exception):
    def __init__(self, what: str, remedy: str = _DISTRUST) -> None:
        super().__init__(what, remedy)


def _check(metadata: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    known = {key: value for key, value in metadata.items() if key in _FIELDS and not isinstance(value, dict)}
    for key, value in metadata.items():
        if key == "key_groups" and isinstance(value, list):
            for group in value:
                if not isinstance(group, dict) or not group.keys() <= _FIELDS.keys():
                    raise _Refused("is encrypted with a group of keys of a kind that Lineal does not know.")
                _check(group, environ)
        elif key not in known and isinstance(value, (dict, list)) and value:
            raise _Refused(f"is encrypted with keys of a kind that Lineal does not know, {quoted(key)}.")
    for kind, keys in known.items():
        # An empty list may stand there as null.
        for key in keys if isinstance(keys, list) else []:
            if not isinstance(key, dict) or not key.keys() <= _FIELDS[kind]:
                raise _Refused(f"has a key in `sops.{kind}` that cannot be read.")
            _check_key(kind, key, environ)


def _check_key(kind: str, key: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    texts = {field: value for field, value in key.items() if isinstance(value, str)}
    if any(key[field] is not None for field in key.keys() - texts.keys() - {"context"}):
        raise _Refused(f"has a key in `sops.{kind}` that cannot be read.")
    if kind == "hc_vault":
        _check_vault(texts, environ.get("VAULT_ADDR", "").strip())
    if kind == "azure_kv" and not _AZURE.fullmatch(texts.get("vault_url", "")):
        where = quoted(texts.get("vault_url", ""))
        raise _Refused(f"would have this job log in at {where}, which is no Azure Key Vault.")
    if kind == "kms" and not (_ARN.fullmatch(texts.get("arn", "")) and _ROLE.fullmatch(texts.get("role", ""))):
        raise _Refused(f"names the AWS key {quoted(texts.get('arn', ''))}, which is not one of AWS.")


def _check_vault(key: Mapping[str, str], ours: str) -> None:
    address = key.get("vault_address", "")
    place = _place(address)
    if place is None or place != _place(ours):
        why = f"VAULT_ADDR of this job is {quoted(ours)}" if ours else "this job has no VAULT_ADDR"
        raise _Refused(f"would have the Vault token of this job sent to {quoted(address)}, but {why}.", _USE_OURS)
    if not all(_SEGMENTS.fullmatch(key.get(field, "")) for field in ("engine_path", "key_name")):
        raise _Refused("names a key of Vault that has no plain path.")


def _place(address: str) -> tuple[str, str] | None:
    found = _ADDRESS.fullmatch(address)
    return (found[1].lower(), found[2]) if found else None


# --- reading --------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    """A mapping with all its keys in order. Of two equal keys, some readers take the first and some the last."""


def _metadata(file: ValuesText) -> dict[str, Any]:
    """The value of the key `sops:`, empty when the file is not encrypted: then sops does not get it."""
    read = _json(file.text) if file.name.endswith(".json") else _yaml(file.text)
    told = [value for key, value in read if key.casefold() in ("sops", "<<")] if isinstance(read, _Pairs) else []
    if not told:
        return {}
    found = _once(told[0])
    if len(told) > 1 or not isinstance(found, dict):
        raise _Refused("has a `sops:` that cannot be read.")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise _Refused("is no JSON.") from None


def _yaml(text: str) -> Any:
    """The YAML with every value as a text. Tags and aliases, which may change the meaning of a text, are refused:
    sops writes none."""
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    strange = (yaml.TagToken, yaml.AnchorToken, yaml.AliasToken)
    try:
        if any(isinstance(token, strange) for token in yaml.scan(text, Loader=loader)):
            raise _Refused("has tags or aliases of YAML, which no file of sops has.")
        return _plain(yaml.compose(text, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _Refused("is no valid YAML.") from None


def _plain(node: Any) -> Any:
    if isinstance(node.value, str):
        return node.value
    if node.id == "sequence":
        return [_plain(part) for part in node.value]
    return _Pairs((key.value if isinstance(key.value, str) else "", _plain(value)) for key, value in node.value)


def _once(value: Any) -> Any:
    """Mappings as dicts, with keys in lower case: in JSON, sops reads `HC_VAULT` as `hc_vault`."""
    if isinstance(value, _Pairs):
        made = {key.casefold(): _once(part) for key, part in value}
        if len(made) < len(value):
            raise _Refused("has a key of `sops:` more than once.")
        return made
    return [_once(part) for part in value] if isinstance(value, list) else value
