"""Keyless signatures, whole: runs that a forge vouches for, a private Sigstore with its real services, a store."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.publish.referrer import fallback_tag, referrers
from lineal.publish.summary import SUMMARY
from lineal.store.open import StoreOpener
from lineal.store.statement import PROVENANCE
from lineal.trust.sigstore_bundle import BUNDLE
from tests import servers
from tests.built import COSIGN, needs
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project, Ran
from tests.sigstore.instance import Instance, running
from tests.tools import helm as binaries

pytestmark = [pytest.mark.long, pytest.mark.registry, pytest.mark.server, needs("sigstore")]
MAIN = "refs/heads/main"
DOCKERFILE = "FROM scratch\nCOPY one /\nCOPY two /\n"


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    with running() as found:
        yield found


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, repository: str, tmp_path: Path, instance: Instance) -> Project:
    lineal.env |= {**NOWHERE, "LINEAL_SIGSTORE_TRUST_CONFIG": str(instance.config)}
    made = Project(repo, lineal, repository, tmp_path)
    commit(made, instance)
    return made


def commit(project: Project, instance: Instance, trust: str = "", signer: str = "", **files: str) -> str:
    """What git proves needs no signature: it is not asked here."""
    address = instance.forge.address
    accept = f"{{github: '{address}/acme/shop', refs: [{MAIN}]{signer}}}"
    config = (
        f"project: shop\nimages: {{app: {{}}}}\npublish: {{to: ['{project.store}/app']}}\n"
        f"trust: {{accept: [{accept}], recompute: false{trust}}}\n"
    )
    return project.repo.write({"lineal.yaml": config, "Dockerfile": DOCKERFILE, "one": "1", "two": "2", **files})


def job(project: Project, ref: str = MAIN, repository: str = "acme/shop", event: str = "push") -> dict[str, str]:
    """The environment of a job of GitHub, without an identity."""
    return {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": event, "GITHUB_REF": ref, "GITHUB_REPOSITORY": repository,
            "GITHUB_SHA": project.repo.head()}  # fmt: skip


def vouched(
    project: Project, instance: Instance, ref: str = MAIN, repository: str = "acme/shop", workflow: str = ""
) -> dict[str, str]:
    """The same, with one."""
    offered = instance.forge.github(repository, ref, project.repo.head(), workflow)
    return {**job(project, ref, repository), **offered}


def pull_request(project: Project, instance: Instance, number: int, workflow: str = "") -> dict[str, str]:
    """The environment of a pull request's job, whose head is checked out."""
    payload = project.scratch / "event.json"
    head = {"sha": project.repo.head(), "ref": "feature", "repo": {"full_name": "acme/shop"}}
    request = {"number": number, "head": head, "base": {"ref": "main", "sha": "0" * 40}}
    payload.write_text(json.dumps({"number": number, "pull_request": request,
                                   "repository": {"default_branch": "main"}}))  # fmt: skip
    ref, merge = f"refs/pull/{number}/merge", "e" * 40
    offered = instance.forge.github("acme/shop", ref, merge, workflow, "pull_request")
    return {**job(project, ref, event="pull_request"), **offered, "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_SHA": merge, "GITHUB_HEAD_REF": "feature", "GITHUB_BASE_REF": "main"}  # fmt: skip


def reasons(ran: Ran) -> set[str]:
    return {stage["reason"] for stage in ran.stages if stage["outcome"] == "missing"}


def test_everybody_believes_what_main_signed_and_verifies_it_once(project: Project, instance: Instance) -> None:
    built = project.build(env=vouched(project, instance))
    assert built.made == ["COPY", "COPY"]
    other = project.clone("other")
    imported = [
        _said(other, "plan", {**job(other), "PYTHONPROFILEIMPORTTIME": "1"}) for _ in range(2)
    ]  # fmt: skip
    assert all("2 cached" in said for said in imported)
    assert ["sigstore.verify" in said for said in imported] == [True, False]
    # A job that finds everything asks for no token.
    again = other.build(env={**vouched(other, instance), "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1"})
    assert again.made == [] and again.stdout == built.stdout
    told = other.lineal("verify", built.stdout.split()[-1], "--format", "json", "--repo", other.store)
    assert told.code == 0, told.stderr
    chain = json.loads(told.stdout)["images"][0]["stages"]
    workflow = f"{instance.forge.host}/acme/shop/.github/workflows/ci.yml@{MAIN}"
    assert {stage["reason"] for stage in chain if stage["verdict"] == "signed"} <= {f"signed by {workflow}"}


def _said(project: Project, command: str, env: dict[str, str]) -> str:
    started = project.start(command, env=env)
    out, said = started.communicate(timeout=300)
    assert started.returncode == 0, said
    return out + said


def test_the_finished_image_has_a_bundle_that_sigstore_verifies(project: Project, instance: Instance) -> None:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier
    from sigstore.verify.policy import AllOf, Identity, OIDCIssuerV2

    digest = project.build(env=vouched(project, instance)).stdout.strip().rpartition("@")[2]
    final = StoreOpener(project.scratch).store(f"{project.store}/app")
    (entry,) = referrers(final, digest)
    assert entry["artifactType"] == BUNDLE
    manifest = final.manifest(entry["digest"])
    assert manifest is not None
    bundle = b"".join(final.blob(manifest.json["layers"][0]["digest"]))
    forge = instance.forge.address
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(instance.config.read_text()).trusted_root)
    policy = AllOf([
        Identity(identity=f"{forge}/acme/shop/.github/workflows/ci.yml@{MAIN}"),
        OIDCIssuerV2(f"{forge}/_services/token"),
    ])  # fmt: skip
    _, payload = verifier.verify_dsse(Bundle.from_json(bundle), policy)
    said: dict[str, Any] = json.loads(payload)
    assert said["predicateType"] == PROVENANCE
    assert said["subject"][0]["digest"]["sha256"] == digest.removeprefix("sha256:")


def test_a_run_that_nobody_vouches_for_is_refused_with_the_line_to_add(project: Project, instance: Instance) -> None:
    refused = project.build(env=job(project), code=3)
    assert "`permissions: {id-token: write}`" in refused.error
    unknown = project.build(env=vouched(project, instance, workflow="acme/shop/x.yml@refs/heads/x"), code=0)
    assert unknown.made == ["COPY", "COPY"]
    commit(project, instance, signer=", workflow: .github/workflows/release.yml", two="3")
    refused = project.build(env=vouched(project, instance), code=3)
    assert "would not believe" in refused.error and project.plan(env=job(project)).made == []


@pytest.mark.parametrize(
    ("origin", "ref", "why"),
    [("evil/shop", MAIN, "signed by a pipeline of another project"),
     ("acme/shop", "refs/heads/other", "signed for another ref")],
)  # fmt: skip
def test_what_another_pipeline_signed_is_not_used(
    project: Project, instance: Instance, origin: str, ref: str, why: str
) -> None:
    """It has a true certificate, and the right to push to the store; its own policy accepts itself."""
    theirs = project.clone("theirs")
    forge = instance.forge.address
    config = theirs.repo.path / "lineal.yaml"
    honest = config.read_text()
    config.write_text(honest.replace(f"{forge}/acme/shop", f"{forge}/{origin}").replace(MAIN, ref))
    theirs.repo.git("commit", "--quiet", "-am", "ours")
    evil = theirs.build(env=vouched(theirs, instance, ref, origin))
    assert evil.made == ["COPY", "COPY"]
    planned = project.plan(env=job(project))
    assert [stage["outcome"] for stage in planned.stages] == ["missing", "missing"]
    # What it says of its history hides it, too: the commit is none of main's.
    project.repo.git("pull", "--quiet", str(theirs.repo.path), "HEAD")
    project.repo.write({"lineal.yaml": honest})
    assert reasons(project.plan(env=job(project))) == {f"hidden: {why}"}
    built = project.build(env=vouched(project, instance))
    assert built.made == ["COPY", "COPY"]
    assert project.build(env=vouched(project, instance)).made == []


BUILD = "acme/ci/.github/workflows/build.yml"


@pytest.mark.parametrize(
    ("signer", "workflow", "inherits"),
    [
        (f", workflow: '{BUILD}@{MAIN}'", f"{BUILD}@{MAIN}", True),
        ("", "", False),
    ],
)
def test_a_merge_inherits_what_a_workflow_built_that_no_branch_can_change(
    project: Project, instance: Instance, signer: str, workflow: str, inherits: bool
) -> None:
    commit(project, instance, ", merged: true", signer)
    project.build(env=vouched(project, instance, workflow=workflow))
    project.repo.branch("feature")
    project.repo.write({"two": "22"})
    request = project.build(env=pull_request(project, instance, 5, workflow))
    assert request.made == ["COPY"]
    assert project.build(env=pull_request(project, instance, 5, workflow)).made == []
    project.repo.switch("main")
    project.repo.write({"README": "x"})
    project.repo.merge("feature")
    merged = project.build(env=vouched(project, instance, workflow=workflow))
    assert merged.made == ([] if inherits else ["COPY"])


def test_a_branch_counts_once_its_very_commit_is_merged(project: Project, instance: Instance) -> None:
    commit(project, instance, ", merged: true")
    project.build(env=vouched(project, instance))
    project.repo.branch("feature")
    project.repo.write({"two": "22"})
    ref = "refs/heads/feature"
    assert project.build(env=vouched(project, instance, ref)).made == ["COPY"]
    project.repo.switch("main")
    assert project.build(env=vouched(project, instance)).made == []
    project.repo.write({"README": "x"})
    project.repo.merge("feature")
    assert project.build(env=vouched(project, instance)).made == []


def test_a_job_of_gitlab_signs(project: Project, instance: Instance) -> None:
    forge = instance.forge
    config = (project.repo.path / "lineal.yaml").read_text().replace("github:", "gitlab:")
    project.repo.write({"lineal.yaml": config.replace("recompute: false", "recompute: false, merged: false")})
    head = project.repo.head()
    env = {"GITLAB_CI": "true", "CI_COMMIT_SHA": head, "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main",
           "CI_PROJECT_PATH": "acme/shop", "CI_PIPELINE_SOURCE": "push"}  # fmt: skip
    refused = project.build(env=env, code=3)
    assert "`id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}`" in refused.error
    offered = forge.gitlab("acme/shop", "main", head)
    built = project.build(env={**env, **offered})
    assert built.made == ["COPY", "COPY"]
    assert offered["SIGSTORE_ID_TOKEN"] not in built.stderr + built.stdout + json.dumps(built.report)
    assert project.clone("other").plan(env=env).made == []


# --- bundles and summaries ----------------------------------------------------------------------------------------


def publish_bundle(project: Project, env: dict[str, str], version: str = "1.0.0") -> str:
    binaries.fetch(binaries.directory())
    env = {**env, "LINEAL_HELM": str(binaries.directory() / "helm4")}
    return project.run("bundle", "publish", "--version", version, env=env).stdout.strip()


@pytest.fixture
def chart(project: Project, instance: Instance) -> Project:
    """The project with a chart, built by main."""
    config = (project.repo.path / "lineal.yaml").read_text() + "deploy: {chart: chart}\n"
    files = {"chart/Chart.yaml": "apiVersion: v2\nname: small\nversion: 0.1.0\n",
             "chart/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\n"
             "data: {image: '{{ .Values.global.lineal.images.app.image }}'}\n"}  # fmt: skip
    project.repo.write({"lineal.yaml": config, **files})
    project.build(env=vouched(project, instance))
    return project


def copied(project: Project, reference: str, to: str, policy: str, instance: Instance, code: int = 0) -> str:
    """`bundle copy` away from the repository takes what `bundle apply` does."""
    away = project.scratch / "away"
    away.mkdir(exist_ok=True)
    (away / "policy.yaml").write_text(policy)
    done = project.lineal("bundle", "copy", "--policy", "policy.yaml", reference, f"{project.store}/{to}", cwd=away)
    assert done.code == code, done.stderr
    return done.stdout.strip() if code == 0 else done.stderr


def test_a_bundle_of_main_s_pipeline_is_taken_and_no_other(chart: Project, instance: Instance) -> None:
    forge = instance.forge.address
    policy = f"trust: {{accept: [{{github: '{forge}/acme/shop', refs: [{MAIN}]}}]}}\n"
    env = vouched(chart, instance)
    reference = publish_bundle(chart, env)
    assert publish_bundle(chart, env) == reference, "another certificate makes no other bundle"
    copied(chart, reference, "there", policy, instance)
    assert "another project" in copied(chart, reference, "x", policy.replace("acme", "evil"), instance, 1)
    assert "another ref" in copied(chart, reference, "x", policy.replace(MAIN, "refs/tags/*"), instance, 1)
    store = StoreOpener(chart.scratch).store(f"{chart.store}/small")
    digest = reference.partition("@")[2]
    (entry,) = referrers(store, digest)
    assert entry["artifactType"] == BUNDLE
    store.delete(entry["digest"])
    listed = store.digest(fallback_tag(digest))
    if listed is not None:
        store.delete(listed)
    assert "nobody has signed it" in copied(chart, reference, "x", policy, instance, 1)


@needs("cosign")
def test_cosign_verifies_image_and_bundle_of_a_pipeline_and_lineal_those_of_cosign(
    chart: Project, instance: Instance
) -> None:
    forge = instance.forge
    root = chart.scratch / "root.json"
    root.write_text(json.dumps(json.loads(instance.config.read_text())["trustedRoot"]))
    (chart.scratch / "signing.json").write_text(json.dumps(json.loads(instance.config.read_text())["signingConfig"]))

    def cosign(*args: str, code: int = 0, **env: str) -> str:
        env |= {"HOME": str(chart.scratch), "PATH": os.environ["PATH"], "SSL_CERT_FILE": str(forge.certificate)}
        done = subprocess.run(
            [COSIGN, *args], cwd=chart.scratch, env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    job = f"{forge.address}/acme/shop/.github/workflows/ci.yml@{MAIN}"
    whom = ["--trusted-root", str(root), "--use-signed-timestamps", "--allow-http-registry",
            "--certificate-oidc-issuer", f"{forge.address}/_services/token"]  # fmt: skip
    built = chart.build(env=vouched(chart, instance)).stdout.split()[-1]
    image = f"{chart.store}/app@{built.partition('@')[2]}"
    about = ("--type", "slsaprovenance1")
    cosign("verify-attestation", *about, *whom, "--certificate-identity", job, image)
    cosign("verify-attestation", *about, *whom, "--certificate-identity", job.replace("main", "x"), image, code=1)
    reference = publish_bundle(chart, vouched(chart, instance))
    bundle = f"{chart.store}/small@{reference.partition('@')[2]}"
    cosign("verify", *whom, "--certificate-identity", job, bundle)
    cosign("verify", *whom, "--certificate-identity", job.replace("main", "x"), bundle, code=1)
    # The other way around.
    policy = f"trust: {{accept: [{{github: '{forge.address}/acme/shop', refs: [{MAIN}]}}]}}\n"
    unsigned = publish_bundle(chart, {}, "2.0.0")
    theirs = f"{chart.store}/small@{unsigned.partition('@')[2]}"
    assert "nobody has signed it" in copied(chart, unsigned, "x", policy, instance, 1)
    token = forge.token("acme/shop", MAIN, chart.repo.head())
    services = ("--trusted-root", str(root), "--signing-config", "signing.json", "--allow-http-registry")
    cosign("sign", "--yes", *services, "--identity-token", token, theirs)
    copied(chart, unsigned, "there", policy, instance)


def test_a_pipeline_signs_the_summary_of_a_verification(project: Project, instance: Instance) -> None:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    env = vouched(project, instance)
    reference = project.build(env=env).stdout.split()[-1]
    run = ("verify", "--attest", "--repo", project.store, reference)
    refused = project.lineal(*run, env=job(project))
    assert refused.code == 3 and "LINEAL_SIGNING_KEY" in refused.stderr
    for _ in range(2):
        done = project.lineal(*run, env=env)
        assert done.code == 0 and "has a summary" in done.stderr, done.stderr
    store = StoreOpener(project.scratch).store(f"{project.store}/app")
    (entry,) = [
        one for one in referrers(store, reference.partition("@")[2])
        if one["annotations"].get("dev.sigstore.bundle.predicateType") == SUMMARY
    ]  # fmt: skip
    manifest = store.manifest(entry["digest"])
    assert manifest is not None
    bundle = Bundle.from_json(b"".join(store.blob(manifest.json["layers"][0]["digest"])))
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(instance.config.read_text()).trusted_root)
    workflow = f"{instance.forge.address}/acme/shop/.github/workflows/ci.yml@{MAIN}"
    _, payload = verifier.verify_dsse(bundle, Identity(identity=workflow))
    said = json.loads(payload)
    assert said["predicateType"] == SUMMARY and said["predicate"]["verificationResult"] == "PASSED"
