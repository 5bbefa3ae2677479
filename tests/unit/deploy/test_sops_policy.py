"""Encrypted files of a bundle: sops takes this job's credentials to known key services only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from lineal.deploy.sops_policy import check
from lineal.deploy.values import ValuesText
from lineal.errors import BadConfiguration

OURS = {"VAULT_ADDR": "https://vault.example.com:8200"}
KMS = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab"
AGE = {"recipient": "age1x", "enc": "x"}
PGP = {"fp": "AB", "enc": "x", "created_at": "2024"}
GCP = {"resource_id": "projects/p/locations/global/keyRings/r/cryptoKeys/k", "enc": "x", "created_at": "2024"}


def vault(address: str = OURS["VAULT_ADDR"], engine: str = "transit/more", key: str = "k") -> dict[str, Any]:
    return {"hc_vault": [{"vault_address": address, "engine_path": engine, "key_name": key, "enc": "x"}]}


def azure(url: str) -> dict[str, Any]:
    return {"azure_kv": [{"vault_url": url, "name": "k", "version": "1", "enc": "x"}]}


def kms(arn: str, **more: Any) -> dict[str, Any]:
    return {"kms": [{"arn": arn, "enc": "x", "aws_profile": "", **more}]}


def as_yaml(**sops: Any) -> ValuesText:
    told = {"password": "ENC[x]", "Password": "ENC[x]", "sops": {**sops, "mac": "ENC[x]", "version": "3.9.0"}}
    return ValuesText("lineal/sealed/000.yaml", yaml.safe_dump(told))


def as_json(**sops: Any) -> ValuesText:
    told = {"password": "ENC[x]", "Password": "ENC[x]", "sops": {**sops, "mac": "ENC[x]", "version": "3.9.0"}}
    return ValuesText("lineal/sealed/000.json", json.dumps(told))


def refused(file: ValuesText, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(BadConfiguration) as raised:
        check([file], OURS if environ is None else environ)
    assert str(raised.value.place) == file.name and raised.value.remedy
    return raised.value.message


GOOD: list[dict[str, Any]] = [
    {"age": [AGE]}, {"pgp": [PGP]}, {"gcp_kms": [GCP]}, vault(), vault("HTTPS://Vault.example.com:8200/"),
    kms(KMS, context={"a": "b"}, role="arn:aws:iam::123456789012:role/a/b"), kms(KMS.replace("key/", "alias/")),
    azure("https://shop.vault.azure.net"), azure("https://shop.vault.azure.cn/"),
    {"kms": [], "age": None, "pgp": "null", "shamir_threshold": 2, "key_groups": [{"age": [AGE]}, vault()]},
    {"encrypted_regex": "^x$", "some_day": "text"},
]  # fmt: skip
BAD: list[tuple[dict[str, Any], str]] = [
    (vault("http://h:1"), "would have the Vault token of this job sent to `http://h:1`, but VAULT_ADDR of this job "
     "is `https://vault.example.com:8200`."),
    (vault("http://vault.example.com:8200"), "would have the Vault token"),
    (vault("https://vault.example.com"), "would have the Vault token"),
    (vault("https://vault.example.com:8200@evil.example"), "would have the Vault token"),
    (vault("https://vault.example.com:8200/../x?"), "would have the Vault token"),
    (vault("unix:///run/vault"), "would have the Vault token"), (vault(""), "would have the Vault token"),
    (vault(engine="../auth/token"), "no plain path"), (vault(key="../../auth/token/revoke-self"), "no plain path"),
    ({"key_groups": [{"age": [AGE]}, vault("https://evil.example")]}, "would have the Vault token"),
    (azure("https://evil.example"), "would have this job log in at `https://evil.example`"),
    (azure("https://x.vault.azure.net.evil.example"), "would have this job log in"),
    (azure("https://evil.example/.vault.azure.net"), "would have this job log in"),
    (azure("http://x.vault.azure.net"), "would have this job log in"),
    (kms("arn:aws:kms:evil.example/x?:123456789012:key/1"), "which is not one of AWS"),
    (kms(KMS, role="https://evil.example"), "which is not one of AWS"),
    ({"hckms": [{"key_id": "x"}]}, "keys of a kind that Lineal does not know, `hckms`"),
    ({"key_groups": [{"hckms": []}]}, "keys of a kind that Lineal does not know"),
    ({"hc_vault": [{"vault_address": OURS["VAULT_ADDR"], "other": "x"}]}, "a key in `sops.hc_vault` that cannot be"),
    ({"hc_vault": [["https://evil.example"]]}, "a key in `sops.hc_vault` that cannot be read"),
    ({"hc_vault": {"vault_address": "https://evil.example"}}, "keys of a kind that Lineal does not know"),
    ({"azure_kv": [{"vault_url": ["https://evil.example"]}]}, "a key in `sops.azure_kv` that cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize("make", [as_yaml, as_json])
@pytest.mark.parametrize("sops", GOOD)
def test_keys_of_this_job_are_used_but_not_beside_a_stranger_s(
    make: Callable[..., ValuesText], sops: dict[str, Any]
) -> None:
    check([make(**sops)], OURS)
    beside = {**sops, "hc_vault": [*sops.get("hc_vault", []), *vault("https://evil.example")["hc_vault"]]}
    assert "would have the Vault token of this job sent to `https://evil.example`" in refused(make(**beside))


@pytest.mark.parametrize("make", [as_yaml, as_json])
@pytest.mark.parametrize(("sops", "says"), BAD)
def test_keys_elsewhere_are_refused(make: Callable[..., ValuesText], sops: dict[str, Any], says: str) -> None:
    assert says in refused(make(**sops))


def test_a_job_without_a_vault_has_no_token_to_send() -> None:
    assert refused(as_yaml(**vault()), {}).endswith("but this job has no VAULT_ADDR.")


@pytest.mark.parametrize(
    ("name", "plain", "encrypted"),
    [
        ("lineal/sealed/000.yaml", "a: 1\n", "sops: 1\n"),
        ("lineal/sealed/000.yaml", "hc_vault: {}\n", "sops: {hckms: [x]}\n"),
        ("lineal/sealed/1.json", '{"hc_vault": 1}', '{"sops": {"hckms": [1]}}'),
        ("lineal/sealed/1.json", "[]", '{"sops": []}'),
    ],
)
def test_only_a_file_with_the_metadata_of_sops_is_judged(name: str, plain: str, encrypted: str) -> None:
    check([ValuesText(name, plain)], {})
    refused(ValuesText(name, encrypted))


EVIL = json.dumps(vault("https://evil.example"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        # Go takes these for `sops` and `hc_vault`, whichever comes first.
        ("x.json", f'{{"sops": {{"mac": "x"}}, "SOPS": {EVIL}}}'),
        ("x.json", f'{{"\\u017fops": {EVIL}, "sops": {{"mac": "x"}}}}'),
        ("x.json", f'{{"sops": {{"mac": "x"}}, "sops": {EVIL}, "sops": {{"mac": "x"}}}}'),
        ("x.json", '{"sops": {"mac": "x", "HC_Vault": [{"Vault_Address": "https://evil.example"}]}}'),
        ("x.json", '{"sops": {"mac": "x", "hc_vault": [{"vault_address": "https://vault.example.com:8200",'
         '"VAULT_ADDRESS": "https://evil.example", "engine_path": "x", "key_name": "x"}]}}'),
        ("x.json", '{"sops": {"mac": "x", "hc_vault": [{"VAULT_ADDRESS": "https://evil.example", "vault_address":'
         '"https://vault.example.com:8200", "engine_path": "x", "key_name": "x"}]}}'),
        ("x.json", '{"sops": {"mac": "x"'),
        ("x.yaml", f"sops: {{mac: x}}\nsops: {EVIL}\n"),
        ("x.yaml", f"sops: {{mac: x}}\n<<: {{sops: {EVIL}}}\n"),
        ("x.yaml", f"sops: {{mac: x, <<: {EVIL}}}\n"),
        ("x.yaml", f"sops: {{mac: x}}\n!!binary c29wcw==: {EVIL}\n"),
        ("x.yaml", f"a: &a {EVIL}\nsops: *a\n"),
        ("x.yaml", f"sops: {{mac: x}}\n---\nsops: {EVIL}\n"),
        ("x.yaml", "sops: [" * 5000),
        ("x.yaml", "sops: x\n"),
    ],
)  # fmt: skip
def test_what_two_readers_might_take_differently_is_refused(name: str, text: str) -> None:
    refused(ValuesText(name, text))
