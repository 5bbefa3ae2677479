"""What tests/act cannot show of examples/ci/github-bases.yml: where the action finds the login of the step before."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests import servers
from tests.runner.conftest import World
from tests.runner.image import BUILD, ready
from tests.runner.runner import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.registry]


def test_a_login_in_the_temporary_directory_of_the_runner_is_found(
    world: World, gateway: str, base_image: str, tmp_path: Path
) -> None:
    workflow = yaml.safe_load((ROOT / "examples/ci/github-bases.yml").read_text())
    _, login, lineal = workflow["jobs"]["build"]["steps"]
    assert lineal["uses"] == "your_org/lineal/build@v1"
    address = f"{gateway}:{servers.free_port(gateway)}"
    with servers.docker_registry(tmp_path / "private", servers.HTPASSWD, address=address):
        copy = [servers.program("skopeo"), "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
        rights = [f"--dest-creds={servers.USER}:{servers.PASSWORD}", "--dest-tls-verify=false"]
        subprocess.run([*copy, *rights, f"docker://{base_image}", f"docker://{address}/base:1"], check=True)
        world.repo.write({"Dockerfile": f"FROM {address}/base:1\nCOPY hello /\n"})
        world.push("main")
        event = world.event("push", "refs/heads/main")
        runner = world.runner(event)
        runner.folder, runner.image = "build", ready(BUILD).name
        runner.env["LINEAL_INSECURE_REGISTRY"] += f"\n{address}"
        # As `docker login` writes it.
        folder = Path(login["env"]["DOCKER_CONFIG"].replace("${{ runner.temp }}", str(runner.temp)))
        folder.mkdir()
        auth = base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
        without = runner.run(event, lineal.get("with"))
        assert without.code == 5, without.log
        runner.env |= lineal["env"]
        step = runner.run(event, lineal.get("with"))
        assert step.code == 0, step.log
        assert step.outputs["image"] == world.store
