"""What the sops program is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.config.secrets import SecretValues
from lineal.deploy.sops import decrypted
from lineal.deploy.values import ValuesText

NEEDED = {"SOPS_AGE_KEY": "a", "AWS_PROFILE": "b", "VAULT_TOKEN": "c", "GNUPGHOME": "d", "https_proxy": "e",
          "AZURE_CLIENT_ID": "f", "GOOGLE_APPLICATION_CREDENTIALS": "g", "HOME": "/nonexistent"}  # fmt: skip
OURS = {
    "LINEAL_GIT_TOKEN": "h",
    "LINEAL_TRUST_KEY": "i",
    "COSIGN_PASSWORD": "j",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "k",
}
OTHERS = {"NPM_TOKEN": "l"}
PROGRAM = {"SOPS_AGE_KEY_CMD": "vault-of-ours"}


@pytest.mark.parametrize(
    ("job", "given"),
    [({**NEEDED, **OURS, **OTHERS}, NEEDED), ({**OURS, **OTHERS, **PROGRAM}, {**OTHERS, **PROGRAM})],
)
def test_sops_gets_what_leads_to_keys_and_no_other_secret(
    tmp_path: Path, job: dict[str, str], given: dict[str, str]
) -> None:
    program = tmp_path / "sops"
    program.write_text(f"#!/bin/sh\nenv -0 > {tmp_path}/seen\necho 'password: plain'\n")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    file = ValuesText("secret.enc.yaml", "password: ENC[x]\nsops: {mac: x}\n")
    (found,) = decrypted([file], {**job, "PATH": path}, SecretValues({}, (), {}, tmp_path), tmp_path / "private")
    assert found.text == "password: plain\n"
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().split("\0") if line)
    assert {name: value for name, value in seen.items() if name not in ("PWD", "SHLVL", "_")} == {
        **given,
        "PATH": path,
    }
