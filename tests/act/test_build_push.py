"""Workflows as docker/build-push-action documents them, run whole with one line changed: that of the action.

What stands in beside that of `tests/act/runner.py`: docker's other actions, by small ones of their names, inputs and
outputs. The login is a file at the runner's home, as docker/login-action leaves it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import servers
from tests.act.runner import LINEAL, Act
from tests.e2e.parts import docker

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.long]

HERE = Path(__file__).parent / "build_push"
THEIRS, OURS = "docker/build-push-action@v7", LINEAL.replace("@", "/build-push@")
HUB = "registry.example.com"
_LOGIN = """mkdir -p ~/.docker && printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY" \
"$(printf '%s:%s' "$USERNAME" "$PASSWORD" | base64 -w0)" >~/.docker/config.json"""
_META = """{ KEY=org.opencontainers.image
echo "tags<<end"; for image in $IMAGES; do echo "$image:main"; echo "$image:sha-1234567"; done; echo end
echo "labels<<end"; echo "$KEY.title=app"; echo "$KEY.revision=c0ffee"; echo end
echo "annotations<<end"; echo "manifest:$KEY.title=app"; echo end
} >>"$GITHUB_OUTPUT" """


@pytest.fixture
def hub(act: Act, auth_registry: str, tmp_path: Path, base_image: str) -> Iterator[str]:
    """A repository with a Dockerfile, nothing that speaks of Lineal, and a registry that wants a login."""
    _stand_in(act, tmp_path, "docker/setup-qemu-action@v4", [], "true")
    _stand_in(act, tmp_path, "docker/setup-buildx-action@v4", [], "true")
    _stand_in(act, tmp_path, "docker/login-action@v4", ["registry", "username", "password"], _LOGIN)
    _stand_in(act, tmp_path, "docker/metadata-action@v6", ["images"], _META, ["tags", "labels", "annotations"])
    act.options += ["--container-options", "--volume /usr/bin/docker:/usr/bin/docker:ro"]
    act.variables["HUB_USERNAME"], act.secrets["HUB_TOKEN"] = servers.USER, servers.PASSWORD
    act.repo.git("rm", "--quiet", "-r", ".")
    act.repo.write({"Dockerfile": f'FROM {base_image}\nCOPY app /app\nCMD ["cat", "/app"]\n', "app": "it works\n"})
    yield auth_registry
    for name in ("myimage:latest", "user-app:test", "with-secrets:latest"):
        docker("image", "rm", "--force", name, check=False)


def _stand_in(act: Act, folder: Path, name: str, inputs: list[str], run: str, outputs: Sequence[str] = ()) -> None:
    environ = {key.upper(): f"${{{{ inputs.{key} }}}}" for key in inputs}
    step = {"id": "it", "shell": "bash", "run": run, "env": environ}
    action: dict[str, Any] = {
        "name": name, "inputs": {key: {"required": True} for key in inputs},
        "outputs": {key: {"value": f"${{{{ steps.it.outputs.{key} }}}}"} for key in outputs},
        "runs": {"using": "composite", "steps": [step]},
    }  # fmt: skip
    path = folder / name.partition("@")[0].replace("/", "-")
    path.mkdir()
    (path / "action.yml").write_text(json.dumps(action))
    act.actions[name] = path


def run(act: Act, workflow: str, hub: str) -> str:
    text = (HERE / workflow).read_text()
    assert THEIRS in text
    text = text.replace(THEIRS, OURS).replace(HUB, hub)
    act.repo.write({f".github/workflows/{workflow}": text}, f"Add {workflow}")
    done = act.succeed()
    assert servers.PASSWORD not in done.said()
    return done.said()


def manifest(hub: str, repository: str, tag: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Digest, manifest and config of an image in the registry that wants a login."""
    login = (servers.USER, servers.PASSWORD)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    url = f"http://{hub}/v2/{repository}"
    found = requests.get(f"{url}/manifests/{tag}", auth=login, headers=accept, timeout=300)
    found.raise_for_status()
    config = requests.get(f"{url}/blobs/{found.json()['config']['digest']}", auth=login, timeout=300).json()
    return f"sha256:{sha256(found.content).hexdigest()}", found.json(), config


def test_tags_and_labels_of_docker_metadata_are_those_of_the_image(act: Act, hub: str) -> None:
    said = run(act, "tags-labels.yml", hub)
    for repository in ("name/app", "other/app"):
        _, main, config = manifest(hub, repository, "main")
        assert manifest(hub, repository, "sha-1234567")[1] == main
        assert config["config"]["Labels"]["org.opencontainers.image.revision"] == "c0ffee"
        assert main["annotations"]["org.opencontainers.image.title"] == "app"
    assert "not needed" not in said


def test_a_path_is_built_and_pushed_with_the_login_of_the_job(act: Act, hub: str) -> None:
    said = run(act, "path-context.yml", hub)
    digest, image, _ = manifest(hub, "user/app", "latest")
    assert f"pushed {digest} {image['config']['digest']}" in said
    assert said.count("--cache-from and --cache-to are not needed") == 1


def test_the_next_steps_have_what_is_loaded(act: Act, hub: str) -> None:
    said = run(act, "export-docker.yml", hub)
    assert re.search(r"loaded sha256:[0-9a-f]{64} \[myimage:latest\]", said)


def test_what_is_tested_is_pushed(act: Act, hub: str) -> None:
    said = run(act, "test-before-push.yml", hub)
    assert "it works" in said
    _, _, config = manifest(hub, "user/app", "latest")
    assert config["config"]["Cmd"] == ["cat", "/app"]


def test_secrets_reach_their_run(act: Act, hub: str, base_image: str) -> None:
    mounts = "".join(f" --mount=type=secret,id={name},required" for name in ("github_token", "lines", "of_env"))
    sums = {"github_token": servers.PASSWORD, "lines": "first\nsecond", "of_env": "from-the-job"}
    checks = " && ".join(
        f"echo '{sha256(value.encode()).hexdigest()}  /run/secrets/{name}' | sha256sum -c >>/app"
        for name, value in sums.items()
    )
    act.repo.write({"Dockerfile": f'FROM {base_image}\nRUN{mounts} {checks}\nCMD ["cat", "/app"]\n'})
    said = run(act, "secrets.yml", hub)
    assert all(f"/run/secrets/{name}: OK" in said for name in sums)
