"""The workflows of examples/ci, run whole: what is published, which jobs ran, what reached the next one."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from tests import servers
from tests.act.runner import EXAMPLES, LINEAL, ROOT, Act
from tests.differential import buildkit
from tests.e2e.parts import Published
from tests.gitlab import tls
from tests.tools import kube

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.helm]

MAKE = "#!/bin/sh\nmkdir -p web/dist && tr a-z A-Z <web/page >web/dist/page\n"


def published(act: Act, said: str) -> dict[str, str]:
    """Image -> digest, of the references that a job printed; each is in the registry."""
    found = dict(re.findall(rf"^(\w+) {act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE))
    there = Published(act.store).tags().values()
    assert found
    assert set(found.values()) <= set(there)
    return found


def references(act: Act, said: str) -> list[str]:
    """The digests of references that stand alone, as a build of one image prints it."""
    return re.findall(rf"^{act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE)


def deployed(cluster: kube.Cluster) -> dict[str, str]:
    """Release -> the image that its manifest names."""
    return {
        name: thing["data"]["image"]
        for (kind, _, name), thing in cluster.objects.items()
        if kind == "configmaps" and "image" in thing.get("data", {})
    }


def pull_request(act: Act, action: str = "synchronize", fork: bool = False) -> dict[str, Any]:
    """The event of pull request 7, as GitHub says it."""
    head = {"ref": "topic", "sha": act.repo.head(), "repo": {"full_name": "somebody/shop" if fork else "nektos/act"}}
    base = {"ref": "main", "sha": act.repo.head(), "repo": {"full_name": "nektos/act"}}
    return {"action": action, "number": 7, "pull_request": {"number": 7, "head": head, "base": base}}


def test_main_is_built_and_what_was_built_is_deployed(act: Act, cluster: kube.Cluster) -> None:
    act.install("github.yml")
    run = act.succeed()
    assert run.jobs == {"build": "success", "deploy": "success"}
    digest = published(act, run.said("build"))["shop"]
    assert deployed(cluster) == {"shop-production": f"{act.store}@{digest}"}
    assert cluster.releases() == {"shop-production.v1": "deployed"}
    assert not [line for line in act.secrets["KUBECONFIG"].splitlines() if len(line) > 12 and line in run.said()]


def test_a_pull_request_is_built_and_not_deployed(act: Act, cluster: kube.Cluster) -> None:
    act.install("github.yml")
    run = act.succeed("pull_request", pull_request(act))
    assert run.jobs == {"build": "success"}
    assert published(act, run.said("build")).keys() == {"base", "shop"}
    assert deployed(cluster) == {}


@pytest.mark.long
def test_each_stale_image_has_a_job_and_the_next_run_has_none(act: Act, cluster: kube.Cluster) -> None:
    config = (act.repo.path / "lineal.yaml").read_text().replace("\nimages:", "\nimages:\n  mail: {context: mail}")
    act.repo.write({"lineal.yaml": config, "mail/Dockerfile": "FROM scratch\nCOPY letter /\n", "mail/letter": "Dear"})
    act.install("github-matrix.yml")
    first = act.succeed()
    # The base has no job of its own: the shop's builds it.
    assert first.jobs.keys() == {"plan", "build (mail)", "build (shop)", "deploy"}
    assert set(first.jobs.values()) == {"success"}
    for name in ("mail", "shop"):
        assert len(references(act, first.said(f"build ({name})"))) == 1
    image = deployed(cluster)["shop-production"]
    assert image.removeprefix(f"{act.store}@") in Published(act.store).tags().values()
    # One file of the shop: only its job runs.
    act.repo.write({"shop/site/new.html": "new"})
    assert act.succeed().jobs.keys() == {"plan", "build (shop)", "deploy"}
    assert deployed(cluster)["shop-production"] != image
    # Nothing to build: the release is looked at, and left as it is.
    act.repo.write({"README": "new"})
    last = act.succeed()
    assert last.jobs == {"plan": "success", "deploy": "success"}
    assert "so nothing is deployed" in last.said("deploy")
    assert "shop-production.v3" not in cluster.releases()


def test_a_pull_request_is_checked_as_far_as_it_may(act: Act, cluster: kube.Cluster) -> None:
    act.install("github-checks.yml")
    fork = act.succeed("pull_request", pull_request(act, fork=True))
    assert "kind: ConfigMap" not in fork.said("check")
    assert Published(act.store).tags() == {}
    own = act.succeed("pull_request", pull_request(act))
    digest = published(act, own.said("check"))["shop"]
    assert f'data: {{image: "{act.store}@{digest}"}}' in own.said("check")
    assert cluster.log == []


@pytest.mark.long
def test_a_pull_request_has_a_release_until_it_is_closed(act: Act, cluster: kube.Cluster) -> None:
    act.install("github-review.yml")
    run = act.succeed("pull_request", pull_request(act, "opened"))
    assert run.jobs == {"deploy": "success"}
    assert deployed(cluster) == {"shop-pr-7": f"{act.store}@{published(act, run.said('deploy'))['shop']}"}
    assert ("configmaps", "reviews", "shop-pr-7") in cluster.objects
    assert act.succeed("pull_request", pull_request(act, "closed", fork=True)).jobs == {}
    run = act.succeed("pull_request", pull_request(act, "closed"))
    assert run.jobs == {"remove": "success"}
    assert "Release shop-pr-7 in namespace reviews was uninstalled" in run.said("remove")
    assert deployed(cluster) == {}
    assert cluster.releases() == {}


@pytest.mark.long
def test_production_gets_the_digests_of_staging(act: Act, cluster: kube.Cluster) -> None:
    act.install("github-promote.yml")
    run = act.succeed()
    assert run.jobs == {"staging": "success", "production": "success"}
    image = f"{act.store}@{published(act, run.said('staging'))['shop']}"
    assert deployed(cluster) == {"shop-staging": image, "shop-production": image}


@pytest.mark.long
def test_other_images_than_those_of_staging_are_not_promoted(act: Act, cluster: kube.Cluster) -> None:
    act.install("github-promote.yml", {"${{ needs.staging.outputs.images }}": "others"})
    run = act.run()
    assert run.jobs == {"staging": "success", "production": "failure"}
    assert deployed(cluster).keys() == {"shop-staging"}


def test_a_schedule_deletes_what_nothing_needs(act: Act) -> None:
    """Where the store is no package of GitHub; tests/e2e/test_cleanup_github.py has those."""
    act.install("github-cleanup.yml")
    run = act.succeed("schedule")
    assert run.jobs == {"cleanup": "success"}
    assert "kept       0 stages" in run.said("cleanup") and "deleted    0 stages" in run.said("cleanup")


def test_secrets_reach_their_run_and_nothing_else(act: Act, base_image: str) -> None:
    token, npm = "models-7c1f", "registry=https://npm.example.com/\n//npm.example.com/:_authToken=npm-4be2d0"
    act.secrets |= {"MODELS_TOKEN": token, "NPM_TOKEN": "npm-4be2d0"}
    mounts = "--mount=type=secret,id=token,required --mount=type=secret,id=npm,required"
    sums = [
        f"{sha256(value.encode()).hexdigest()}  /run/secrets/{id}" for id, value in (("token", token), ("npm", npm))
    ]
    checks = " && ".join(f"echo '{line}' | sha256sum -c >>/checked" for line in sums)
    alone(act, f"FROM {base_image}\nRUN {mounts} {checks}\n")
    act.install("github-secrets.yml")
    said = act.succeed().said()
    contents = Published(act.store)
    (digest,) = re.findall(rf"^\w+ {act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE)
    assert contents.files(digest)["checked"] == b"/run/secrets/token: OK\n/run/secrets/npm: OK\n"
    everywhere = said.encode() + b"".join(data for _, data in contents.everything())
    assert not [value for value in (token, "npm-4be2d0") if value.encode() in everywhere]


@pytest.mark.skipif(bool(buildkit.missing()), reason=buildkit.missing())
def test_without_docker_a_run_goes_to_a_buildkitd_that_asks_for_a_certificate(
    act: Act, registry: str, base_image: str, tmp_path: Path
) -> None:
    certificates = tls.certificates(tmp_path / "tls")
    for name in ("ca", "cert", "key"):
        act.secrets[f"BUILDKIT_{name.upper()}"] = (certificates / f"{name}.pem").read_text()
    alone(act, f"FROM {base_image}\nRUN echo built >/file\n")
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=buildkit.fast(), ignore_cleanup_errors=True) as short,
        buildkit.buildkitd(Path(short), registry) as daemon,
    ):
        door = tls.Door(certificates, daemon.address)
        # act's containers share the workspace alone.
        replace = {"/github/home": "${{ github.workspace }}", "buildkitd.ci:1234": f"127.0.0.1:{door.port}"}
        act.install(
            "github-kubernetes.yml", {**replace, "kubernetes\n": "ubuntu-latest\n", "buildpack-deps:scm": act.image}
        )
        said = act.succeed().said()
        door.close()
    (digest,) = re.findall(rf"^\w+ {act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE)
    assert Published(act.store).files(digest)["file"] == b"built\n"
    assert door.visitors and "does not reach" not in said


def test_private_bases_are_pulled_with_a_login_of_their_own(act: Act, auth_registry: str, base_image: str) -> None:
    """The two names in the workflow are of one directory on GitHub's runner; act shares only the workspace."""
    private = f"{auth_registry}/bases/small:1"
    copy = [servers.program("skopeo"), "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    login = [f"--dest-creds={servers.USER}:{servers.PASSWORD}", "--dest-tls-verify=false"]
    subprocess.run([*copy, *login, f"docker://{base_image}", f"docker://{private}"], check=True)
    act.secrets["BASES_PASSWORD"] = servers.PASSWORD
    act.variables["BASES_USERNAME"] = servers.USER
    # GitHub's runners have docker.
    act.options += ["--container-options", "--volume /usr/bin/docker:/usr/bin/docker:ro"]
    alone(act, f"FROM {private}\nRUN echo built >/file\n")
    paths = ("${{ runner.temp }}/docker", "/github/runner_temp/docker")
    shared = dict.fromkeys(paths, "${{ github.workspace }}/.docker")
    act.install("github-bases.yml", {**shared, "registry.example.com": auth_registry})
    said = act.succeed().said()
    (digest,) = re.findall(rf"^\w+ {act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE)
    assert Published(act.store).files(digest)["file"] == b"built\n"
    assert servers.PASSWORD not in said
    act.secrets["BASES_PASSWORD"] = "wrong"
    assert act.run().code != 0


# As GitHub's: what is uploaded has no modes.
_UPLOAD = 'to="/artifacts/$NAME"; mkdir -p "$to" && cp -R "$FILES/." "$to" && find "$to" -type f | xargs chmod 644'
_DOWNLOAD = 'mkdir -p "$FILES" && cp -R "/artifacts/$NAME/." "$FILES"'


@pytest.mark.long
def test_what_one_job_makes_is_in_the_image_of_the_next(act: Act, tmp_path: Path) -> None:
    """GitHub's storage is not here: two actions with the same names and inputs have a folder."""
    for name, version, script in (("upload", "v6", _UPLOAD), ("download", "v7", _DOWNLOAD)):
        inputs = {"name": {"required": True}, "path": {"required": True}, "if-no-files-found": {"default": "warn"}}
        environ = {"NAME": "${{ inputs.name }}", "FILES": "${{ inputs.path }}"}
        steps = [{"run": script, "shell": "sh", "env": environ}]
        action = {"name": name, "inputs": inputs, "runs": {"using": "composite", "steps": steps}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "action.yml").write_text(json.dumps(action))
        act.actions[f"actions/{name}-artifact@{version}"] = tmp_path / name
    (tmp_path / "storage").mkdir()
    act.options += ["--container-options", f"--volume {tmp_path / 'storage'}:/artifacts"]
    alone(act, "FROM scratch\nCOPY web/dist /srv/\n")
    act.repo.write({"web/page": "hello", "web/build": MAKE, "lineal-giterminism.yaml": "artifacts: [web/dist/**]\n"})
    act.install("github-artifacts.yml")
    run = act.succeed()
    assert run.jobs == {"site": "success", "image": "success"}
    first = published(act, run.said("image"))
    (digest,) = first.values()
    assert Published(act.store).files(digest) == {"srv/page": b"HELLO"}
    act.repo.write({"README": "Nothing of the page"})
    assert published(act, act.succeed().said("image")) == first


def alone(act: Act, dockerfile: str) -> None:
    """The repository has a Dockerfile, and nothing that speaks of Lineal."""
    act.repo.git("rm", "--quiet", "-r", ".")
    act.repo.write({"Dockerfile": dockerfile})


def test_what_is_attested_is_what_was_published(act: Act, tmp_path: Path) -> None:
    """Sigstore is not here: an action of the same name and inputs says what it was given."""
    steps = [{"run": 'echo "attests $NAME $DIGEST"', "shell": "bash"}]
    steps[0]["env"] = {"NAME": "${{ inputs.subject-name }}", "DIGEST": "${{ inputs.subject-digest }}"}  # type: ignore[assignment]
    inputs = {"subject-name": {"required": True}, "subject-digest": {"required": True}}
    action = {"name": "attest", "inputs": inputs, "runs": {"using": "composite", "steps": steps}}
    (tmp_path / "attest").mkdir()
    (tmp_path / "attest/action.yml").write_text(json.dumps(action))
    act.actions["actions/attest-build-provenance@v3"] = tmp_path / "attest"
    alone(act, "FROM scratch\nCOPY Dockerfile /\n")
    act.install("github-attest.yml")
    said = act.succeed().said("build")
    (digest,) = re.findall(rf"^\w+ {act.store}:\S+@(sha256:[0-9a-f]{{64}})$", said, re.MULTILINE)
    assert digest in Published(act.store).tags().values()
    assert f"attests {act.store} {digest}" in said


LOAD = """on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
      - uses: your_org/lineal/build@v1
        with: {load: true, args: "--output type=docker,dest=image.tar"}
      - run: tar xOf image.tar manifest.json && echo
"""


def test_the_next_step_has_what_was_loaded_and_the_archive(act: Act, engine: docker.DockerClient) -> None:
    alone(act, "FROM scratch\nCOPY Dockerfile /\n")
    act.repo.write({"lineal.yaml": f"project: {act.scratch.parent.name}\nimages: {{app: {{}}}}\n"})
    act.repo.write({".github/workflows/load.yml": LOAD})
    said = act.succeed().said("build")
    (name,) = re.findall(r"loaded     (\S+:latest)$", said, re.MULTILINE)
    image = engine.images.get(name)
    try:
        (entry,) = json.loads(re.findall(r"^\[{.*}\]$", said, re.MULTILINE)[0])
        assert entry["RepoTags"] == [name] == image.tags
        assert image.id == f"sha256:{entry['Config'].removeprefix('blobs/sha256/')}"
    finally:
        engine.images.remove(name)


@pytest.mark.parametrize("workflow", sorted(path.name for path in EXAMPLES.glob("github*.yml")))
def test_the_examples_use_inputs_and_outputs_that_there_are(workflow: str) -> None:
    text = (EXAMPLES / workflow).read_text()
    folders = {LINEAL: ROOT, LINEAL.replace("@", "/build@"): ROOT / "build"}
    actions = {name: yaml.safe_load((folder / "action.yml").read_text()) for name, folder in folders.items()}
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if step.get("uses") in actions]
    # Or the command line on the runner, whose options test_docs.py knows.
    assert ours or [step for step in steps if str(step.get("uses")).startswith("your_org/lineal/setup@")]
    for step in ours:
        action = actions[step["uses"]]
        assert step.get("with", {}).keys() <= action["inputs"].keys()
        used = re.findall(rf"steps\.{step.get('id')}\.outputs\.(\w+)", text)
        assert set(used) <= action["outputs"].keys()
