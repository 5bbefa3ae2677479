"""Stages signed with a key whose public half is in the commit: anybody verifies them, and nobody forges one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.oci.image import encode
from lineal.oci.types import Manifest
from lineal.store.open import StoreOpener
from lineal.store.record import SIGNATURES, Record, told
from tests.e2e.parts import Project
from tests.unit.trust.signing import new_key, pem, public_pem

CONFIG = "project: shop\nimages: {app: {}}\ntrust: {accept: [{key: keys/ci.pub}]}\n"
SIGNING = {"LINEAL_SIGNING_KEY": pem(new_key())}
STRANGER = {"LINEAL_SIGNING_KEY": pem(new_key("a stranger's"))}
FILES = {"lineal.yaml": CONFIG, "Dockerfile": "FROM scratch\nCOPY one /\n", "one": "1"}


@pytest.fixture
def project(fresh: Project) -> Project:
    fresh.repo.write({**FILES, "keys/ci.pub": public_pem(new_key()).decode()})
    return fresh


def test_what_a_key_signed_is_used_by_everybody_and_what_it_did_not_by_nobody(project: Project) -> None:
    built = project.build(env=SIGNING)
    assert "what keys/ci.pub has signed" in built.stderr
    # Who has no key verifies all the same.
    project.plan("--exit-code")
    store = StoreOpener(project.scratch).store(project.store)
    index = store.manifest(built.stdout.strip().rpartition("@")[2])
    assert index is not None
    record = store.manifest(index.json["manifests"][1]["digest"])
    assert record is not None
    said = told(store, record)
    assert said is not None and said.statement is not None
    assert said.statement.making.instruction == "COPY one /"
    # Somebody who may push takes the signature away, and moves the anchor there.
    document = json.loads(record.data)
    del document["layers"][0]["annotations"][SIGNATURES]
    unsigned = Manifest(encode(document), record.media_type)
    store.put_manifest(unsigned)
    forged = json.loads(index.data)
    forged["manifests"][1] |= {"digest": unsigned.digest, "size": len(unsigned.data)}
    store.put_manifest(Manifest(encode(forged), index.media_type), Record.read(index).checksum)
    assert project.build(env=SIGNING).stdout == built.stdout


def test_what_was_verified_once_is_asked_as_little_as_without_a_policy(project: Project) -> None:
    project.build(env=SIGNING)
    for env in (SIGNING, {}):
        project.plan("--exit-code", env=env)
        assert project.plan("--exit-code", env=env).report["requests"] == 2


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({}, "this run has no LINEAL_SIGNING_KEY: it does not build"),
        ({"LINEAL_SIGNING_KEY": pem(new_key("a stranger's"))}, "is not the private half of keys/ci.pub"),
        ({"LINEAL_SIGNING_KEY": "no-such-file"}, "neither a key in PEM nor the path of a file"),
    ],
)
def test_a_run_that_cannot_sign_builds_nothing(project: Project, env: dict[str, str], why: str) -> None:
    ran = project.build(code=3, env=env)
    assert why in ran.stderr and "BEGIN" not in ran.stderr
    assert not StoreOpener(project.scratch).store(project.store).tags()


@pytest.mark.parametrize(
    ("key", "why"),
    [(None, "There is no file keys/ci.pub"), (pem(new_key()), "whoever sees the commit can sign with it")],
)
def test_a_policy_needs_public_keys_that_are_committed(project: Project, key: str | None, why: str) -> None:
    project.repo.write({"keys/ci.pub": key})
    ran = project.plan(code=3, env=SIGNING)
    assert why in ran.stderr and "lineal.yaml:3" in ran.stderr


def test_a_variable_is_no_way_around_what_the_commit_asks_for(project: Project, tmp_path: Path) -> None:
    project.build(env=SIGNING)
    (tmp_path / "ci.pub").write_bytes(public_pem(new_key()))
    (tmp_path / "a stranger's.pub").write_bytes(public_pem(new_key("a stranger's")))
    policy = tmp_path / "policy.yaml"
    env = {"LINEAL_POLICY": str(policy)}
    policy.write_text('trust: {accept: [{key: "a stranger\'s.pub"}]}\n')
    for command in ("build", "plan"):
        ran = project.run(command, code=3, env={**env, **STRANGER})
        assert "believes `a stranger's.pub`, and the commit's own does not" in ran.stderr
    policy.write_text("trust: {accept: [{key: ci.pub}], recompute: false}\n")
    assert project.plan("--exit-code", env=env).made == []
    project.repo.write({"lineal.yaml": CONFIG.partition("trust")[0]})
    policy.write_text('trust: {accept: [{key: "a stranger\'s.pub"}], recompute: false}\n')
    assert project.plan("--exit-code", env=env, code=2).stages[-1]["outcome"] == "missing"
